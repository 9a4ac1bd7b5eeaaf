//! What an earlier version wrote still opens. A change of format is a new version byte, never a change of the
//! values here: each stands for rows that somebody has.

use std::sync::{Arc, Mutex};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use token_broker::{
    model::{Fingerprint, Sealed, TenantUid, Timestamp},
    seal::endpoint_binding,
    store::{KeyScope, WrappedKey},
};
use uuid::Uuid;

use crate::support::{KeyFile, PLACE, Table};

const TOKEN: &str = "a golden token";
const KEY_FILE: &str = "kek-138858bc MDMP9/3R1DpSqPEuYHK6aeHwHIXpGYaYK/GDqnhQ788=\n";
const TENANT_KEY: &str = "AZhpmHeKT31AxABz3G15ejcHLP7/fPlTFItkavjhK2QUEoj2TdK97/lgizDR7uV5Nb+h0lsDfaCE7VGsMz9ztALCg\
                          g7/eH/tde0NHD0Fl8mIyut5zt8RkJobWYBcOq+eAjHCl1sNBnOaY6fadSSMPcA=";
const FINGERPRINT_KEY: &str = "Ac9NWVZ7Mna5U1CQBqFHcJ2Hqeo0v6rVRMiWuox9Qlix2UvVJ2SS8j33gJyHbwFOIatn0/JxJUhczwzLrkjcJ\
                               zYi/Sg1b3leLs1YewjXuPEZwpRenA30vysG1UlvGDatDeqkERM1ypUi3us0KIrSNnE=";
const SEALED: &str = "AWjphoCW2ERijO+hyfrCUDx6q5myI3XAiU1ZL25FBDJdwnGt+HRzYpk1b/FXcJ7XBokZAxN54RckHbXudiiJGvXJ20dg8\
                      wsYppPJZiy/9eMO2LUfBC6vhifrFE5EjLGnWfkLVwH9zHhBr7Tx2ZYX";
const FINGERPRINT: &str = "bct+Vh3zGa1U4CgmHQBfYss23ouSgHHlWwrXnkExPVU=";
const ENDPOINT: &str = "O56hNP6ffBJECZA5YuOhdDPB1FbVJImsnegEtNtPESw=";

#[tokio::test]
async fn what_version_1_wrote_still_opens() {
    let file = KeyFile::new();
    file.write(KEY_FILE);
    let tenant = KeyScope::Tenant(TenantUid(Uuid::from_u128(1)));
    let rows = vec![
        wrapped("68e98680-96d8-4462-8cef-a1c9fac2503c", tenant.clone(), TENANT_KEY),
        wrapped("12fbcb56-c739-4edd-9532-857f79c789bf", KeyScope::Fingerprint, FINGERPRINT_KEY),
    ];
    let table = Arc::new(Table { rows: Mutex::new(rows), ..Table::default() });
    let keyring = file.keyring(&table, "golden");

    let opened = keyring.keys(&tenant).await.unwrap().open(&PLACE, &Sealed(bytes(SEALED))).unwrap();
    assert_eq!(opened.as_slice(), TOKEN.as_bytes());
    let fingerprint = keyring.fingerprinter().await.unwrap().fingerprint(TOKEN);
    assert_eq!(fingerprint, Fingerprint(bytes(FINGERPRINT).try_into().unwrap()));
}

#[test]
fn an_endpoint_binding_stays_what_it_was() {
    assert_eq!(endpoint_binding("https://login.example/token", "client").to_vec(), bytes(ENDPOINT));
}

fn wrapped(id: &str, scope: KeyScope, wrapped: &str) -> WrappedKey {
    WrappedKey {
        id: id.parse().unwrap(),
        scope,
        wrapped_by: "kek-138858bc".to_owned(),
        wrapped: bytes(wrapped),
        created_at: Timestamp::default(),
    }
}

fn bytes(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}
