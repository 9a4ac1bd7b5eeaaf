//! No secret is ever where it should not be: not in the log, not in the database, not in a refusal.

use std::{collections::BTreeSet, fs, path::Path};

use procore_simulator::{Fault, FaultKind, Phase, Target, TokenPair};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use token_broker::config::Level;
use token_broker_proto::v1::{AddClientSecretRequest, DeleteConnectionRequest, PromoteClientSecretRequest};
use tonic::Status;

use crate::{
    caller::Caller,
    world::{CLIENT, CONSUMER, MAIN, OPERATOR, World, eventually},
};

const WRONG_CREDENTIAL: &str = "a-wrong-credential-of-these-tests";
const WRONG_SECRET: &str = "a-wrong-client-secret-of-these-tests";

#[tokio::test]
async fn a_busy_day_at_full_volume() {
    let mut world = World::child(|config| config.log.level = Level::Trace).await;
    world.furnish().await;
    let mut day = Day { world: &world, secrets: BTreeSet::new(), refused: Vec::new() };
    day.keep([OPERATOR, CONSUMER, WRONG_CREDENTIAL, WRONG_SECRET, &world.app.client_secret]);
    let keys = fs::read_to_string(&world.config.keys.file).unwrap();
    let keys = keys.lines().filter(|line| !line.starts_with('#'));
    day.keep(keys.filter_map(|line| line.split_whitespace().nth(1)));
    day.refreshes().await;
    day.bad_imports().await;
    day.bad_answers().await;
    day.bad_credentials().await;
    day.end().await;
    let Day { secrets, refused, .. } = day;
    assert!(secrets.len() > 30 && refused.len() > 20, "{} {}", secrets.len(), refused.len());
    for status in &refused {
        let metadata = format!("{:?}", status.metadata());
        let said = [format!("{status:?}").as_bytes(), metadata.as_bytes(), status.details()].concat();
        nowhere(&secrets, "a refusal", &said);
    }
    // While it runs, and after it has folded everything into one file.
    at_rest(&world, &secrets);
    world.stop().await;
    at_rest(&world, &secrets);
    let log = fs::read_to_string(world.place.path().join("broker.log")).unwrap();
    assert!(log.contains("refresh.settled") && log.contains("refresh.failed"), "it was a busy day");
}

#[tokio::test]
async fn a_deleted_connection_leaves_no_ciphertext() {
    let mut world = World::new().await;
    world.import_alive(MAIN, 3600).await;
    world.refresh(MAIN).await.unwrap();
    let file = world.place.path().join("broker.db");
    let options = SqliteConnectOptions::new().filename(&file).read_only(true);
    let mut database = SqliteConnection::connect_with(&options).await.unwrap();
    let sealed: (Vec<u8>, Vec<u8>) =
        sqlx::query_as("SELECT refresh, access FROM grants").fetch_one(&mut database).await.unwrap();
    database.close().await.unwrap();
    let kept = |world: &World| {
        let bytes: Vec<_> = stored(world).into_iter().flat_map(|(_, bytes)| bytes).collect();
        [&sealed.0, &sealed.1].map(|sealed| contains(&bytes, &sealed[sealed.len() / 2..]))
    };
    assert_eq!(kept(&world), [true, true]);
    let delete = DeleteConnectionRequest { name: MAIN.to_owned(), etag: String::new() };
    world.operator.connections().delete_connection(delete).await.unwrap();
    eventually("the log of the database is folded in", async || {
        (kept(&world) == [false, false]).then_some(())
    })
    .await;
    world.stop().await;
    assert_eq!(kept(&world), [false, false]);
}

/// What happened, and what must be found nowhere.
struct Day<'a> {
    world: &'a World,
    secrets: BTreeSet<String>,
    refused: Vec<Status>,
}

impl Day<'_> {
    async fn refreshes(&mut self) {
        let pair = self.import().await;
        for _ in 0..5 {
            self.note(self.world.token(MAIN).await);
            self.note(self.world.refresh(MAIN).await);
            self.follow(&pair);
        }
        let calls = (0..50).map(|_| self.world.token(MAIN));
        for answer in futures_util::future::join_all(calls).await {
            self.note(answer);
        }
        let generation = self.world.connection(MAIN).await.generation;
        for rejected in [generation - 1, generation, generation + 1] {
            self.note(self.world.rejected(MAIN, rejected).await);
        }
        self.note(self.world.lasting(MAIN, 100_000).await);
    }

    async fn bad_imports(&mut self) {
        let pair = self.import().await;
        self.note(self.world.import(MAIN, &pair.refresh_token).await);
        let invented = "canary-that-was-never-issued-by-anybody";
        let oversized = invented.repeat(1000);
        self.keep([invented]);
        self.note(self.world.import(MAIN, &oversized).await);
        self.note(self.world.import("tenants/acme/connections/absent", invented).await);
        self.note(self.world.import(MAIN, invented).await);
        self.note(self.world.token(MAIN).await);
    }

    async fn bad_answers(&mut self) {
        let quoting = |template: &str, code| FaultKind::Body {
            template: template.to_owned(),
            code: Some(code),
            content_type: None,
        };
        let quoted = "{{access_token}} {{refresh_token}}";
        for kind in [
            FaultKind::Reset,
            FaultKind::Garbage,
            FaultKind::Huge(4 << 20),
            quoting(quoted, 200),
            quoting(&format!("<html>{quoted}</html>"), 503),
            quoting(r#"{"error":"{{refresh_token}}","error_description":"{{access_token}}"}"#, 400),
            quoting(r#"{"error":"invalid_grant","error_description":"{{refresh_token}}"}"#, 400),
            quoting(r#"{"access_token":"{{access_token}}","token_type":"{{refresh_token}}"}"#, 200),
            quoting(
                r#"{"access_token":"{{access_token}}","refresh_token":"{{refresh_token}}","scope":5}"#,
                200,
            ),
        ] {
            let pair = self.import().await;
            self.world.simulator.inject(Fault::new(kind).on(Target::grant(&pair.grant_id)));
            eventually("the breaker closes", async || {
                let answer = self.world.token(MAIN).await;
                self.follow(&pair);
                let open = answer.as_ref().is_err_and(|status| status.code() == tonic::Code::Unavailable);
                self.note(answer);
                (!open).then_some(())
            })
            .await;
            self.note(self.world.refresh(MAIN).await);
            self.follow(&pair);
        }
        let pair = self.import().await;
        let busy = Fault::new(FaultKind::status(429, None)).at(Phase::BeforeProcessing);
        self.world.simulator.inject(busy.on(Target::grant(&pair.grant_id)));
        self.note(self.world.token(MAIN).await);
    }

    async fn bad_credentials(&mut self) {
        self.import().await;
        let mut clients = self.world.operator.clients();
        let name = CLIENT.to_owned();
        let add = AddClientSecretRequest { name: name.clone(), client_secret: WRONG_SECRET.to_owned() };
        let made = clients.add_client_secret(add).await.unwrap().into_inner();
        assert!(!format!("{made:?}").contains(WRONG_SECRET));
        let oversized =
            AddClientSecretRequest { name: name.clone(), client_secret: WRONG_SECRET.repeat(500) };
        self.note(clients.add_client_secret(oversized).await);
        let promoted = clients.promote_client_secret(PromoteClientSecretRequest { name, version: 2 }).await;
        self.note(promoted);
        self.note(self.world.token(MAIN).await);
        let stranger = Caller::of(self.world.address(), Some(WRONG_CREDENTIAL));
        self.note(
            stranger.tenants().list_tenants(token_broker_proto::v1::ListTenantsRequest::default()).await,
        );
    }

    async fn end(&mut self) {
        let delete = DeleteConnectionRequest { name: MAIN.to_owned(), etag: String::new() };
        self.note(self.world.operator.connections().delete_connection(delete.clone()).await);
        self.note(self.world.operator.connections().delete_connection(delete).await);
        self.note(self.world.token(MAIN).await);
    }

    /// A new pair for the connection.
    async fn import(&mut self) -> TokenPair {
        let pair = self.world.authorise();
        self.keep([&pair.access_token, &pair.refresh_token]);
        self.note(self.world.import(MAIN, &pair.refresh_token).await);
        pair
    }

    /// What the provider issued since.
    fn follow(&mut self, pair: &TokenPair) {
        if let Some(live) = self.world.simulator.live_pair(&pair.grant_id) {
            self.keep([live.access_token, live.refresh_token]);
        }
    }

    fn note<T>(&mut self, answer: Result<T, Status>) {
        self.refused.extend(answer.err());
    }

    fn keep<S: AsRef<str>>(&mut self, secrets: impl IntoIterator<Item = S>) {
        self.secrets.extend(secrets.into_iter().map(|secret| secret.as_ref().to_owned()));
    }
}

/// The log and the database's files.
fn at_rest(world: &World, secrets: &BTreeSet<String>) {
    for (file, bytes) in stored(world) {
        nowhere(secrets, &file, &bytes);
    }
}

fn stored(world: &World) -> Vec<(String, Vec<u8>)> {
    let names = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let files = fs::read_dir(world.place.path()).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| (names(&path), path))
        .filter(|(name, _)| name.starts_with("broker.db") || name == "broker.log")
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect()
}

/// Neither whole nor a good part of it.
fn nowhere(secrets: &BTreeSet<String>, place: &str, bytes: &[u8]) {
    for secret in secrets {
        let secret = secret.as_bytes();
        let part = &secret[secret.len() / 4..(secret.len() / 4 + 24).min(secret.len())];
        assert!(!contains(bytes, part), "a secret of {} bytes is in {place}", secret.len());
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    let first = wanted[0];
    let mut rest = bytes;
    while let Some(start) = rest.iter().position(|byte| *byte == first) {
        if rest[start..].starts_with(wanted) {
            return true;
        }
        rest = &rest[start + 1..];
    }
    false
}
