//! The key file.

use std::{fs, os::unix::fs::PermissionsExt as _};

use token_broker::seal::{KeyEncryptionKeys, KeyFileError};

use crate::support::KeyFile;

const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

#[test]
fn a_new_file_is_its_owners_alone_and_never_overwritten() {
    let file = KeyFile::new();
    assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o7777, 0o600);
    let before = file.text();
    let error = KeyEncryptionKeys::generate().save_new(&file.path()).unwrap_err();
    assert!(matches!(error, KeyFileError::Exists { .. }));
    assert_eq!(file.text(), before);
}

#[test]
fn a_file_that_others_can_read_is_refused_with_the_fix() {
    let file = KeyFile::new();
    for mode in [0o640, 0o604, 0o660, 0o644, 0o601] {
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        let error = KeyEncryptionKeys::load(&file.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("{mode:04o}")) && error.contains("chmod 600"), "{error}");
    }
    for mode in [0o600, 0o400] {
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        KeyEncryptionKeys::load(&file.path()).unwrap();
    }
}

#[test]
fn ids_are_random_and_the_first_comes_first() {
    let (one, two) = (KeyFile::new(), KeyFile::new());
    one.write(&(two.text() + &one.text()));
    let (keks, newer) = (one.keks(), two.keks());
    let ids: Vec<_> = keks.ids().collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], newer.ids().next().unwrap());
    assert!(ids.iter().all(|id| id.len() == 12 && id.starts_with("kek-")));
}

#[test]
fn a_bad_line_is_named_and_never_shown() {
    let file = KeyFile::new();
    for (text, expected) in [
        ("", "has no key"),
        ("# only a comment\n", "has no key"),
        ("\nkek-a\n", "line 2"),
        (&format!("{KEY} kek-a\n"), "line 1"),
        (&format!("kek-{KEY} {KEY}\n"), "line 1"),
        ("kek-a AAAA\n", "not 32 bytes"),
        ("kek-a !!!!\n", "not base64"),
        (&format!("kek-a {KEY}\nkek-a {KEY}\n"), "line 2"),
    ] {
        file.write(text);
        let error = KeyEncryptionKeys::load(&file.path()).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!shown.contains("AAAA") && !shown.contains("!!!!"), "{shown}");
    }
}

#[test]
fn only_a_regular_file_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let error = KeyEncryptionKeys::load(dir.path()).unwrap_err();
    assert!(matches!(error, KeyFileError::NotAFile { .. } | KeyFileError::Exposed { .. }));
    let error = KeyEncryptionKeys::load(&dir.path().join("absent")).unwrap_err();
    assert!(
        matches!(error, KeyFileError::Absent { .. }) && error.to_string().contains("keys generate --out")
    );
}
