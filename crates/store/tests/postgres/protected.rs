//! Connections under TLS, to a server of its own with a certificate that was made for it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use steadfast_store::env::Env;
use steadfast_store::{OpenError, PostgresOptions, PostgresStore, Store};

use crate::cluster::unprivileged;
use crate::server::Server;

/// A certificate for `localhost` and its key, in this folder, for the user that the server runs as.
fn make_certificate(folder: &Path, name: &str) {
    let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .output()
        .expect("openssl, which comes with the server's package");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    if let Some((user, group)) = unprivileged().unwrap() {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        chown(&key, Some(user), Some(group)).unwrap();
    }
}

async fn open(url: &str) -> Result<PostgresStore, OpenError> {
    PostgresStore::open(PostgresOptions::from_url(url).unwrap(), Env::system()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_are_encrypted_and_certificates_looked_at_as_asked() {
    if crate::server::url().is_none() || std::env::var_os(crate::server::URL_VARIABLE).is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    make_certificate(folder.path(), "server");
    make_certificate(folder.path(), "other");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let settings = [
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", file("server.pem")),
        format!("ssl_key_file={}", file("server.key")),
    ];
    let start = move || Server::start(&settings.each_ref().map(String::as_str));
    let server = tokio::task::spawn_blocking(start).await.unwrap().unwrap();
    let by_name = server.url().replace("127.0.0.1", "localhost");
    let (trusted, others) = (file("server.pem"), file("other.pem"));

    for (mode, is_encrypted) in [("disable", false), ("prefer", true), ("require", true)] {
        let store = open(&format!("{}?sslmode={mode}&application_name={mode}", server.url())).await.unwrap();
        store.health().await.unwrap();
        assert_eq!(uses_tls(server.url(), mode).await, is_encrypted, "{mode}");
    }
    let full = format!("{by_name}?sslmode=verify-full&application_name=full&sslrootcert={trusted}");
    let store = open(&full).await.unwrap();
    store.health().await.unwrap();
    assert!(uses_tls(server.url(), "full").await);

    for (what, url) in [
        ("another host", format!("{}?sslmode=verify-full&sslrootcert={trusted}", server.url())),
        ("another authority", format!("{by_name}?sslmode=verify-full&sslrootcert={others}")),
        ("nobody's authority", format!("{by_name}?sslmode=verify-full")),
    ] {
        let told = open(&url).await.map(drop).unwrap_err();
        let is_told = matches!(told, OpenError::Unreachable { .. } | OpenError::Failed { .. });
        assert!(is_told && told.to_string().contains("ertificate"), "{what}: {told}");
    }
    let told = open(&format!("{by_name}?sslmode=verify-full&sslrootcert=/no/such/file")).await.map(drop);
    assert!(matches!(told, Err(OpenError::Failed { .. })), "{told:?}");
    drop(store);
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
}

/// Whether the server sees the connections of this name as encrypted.
async fn uses_tls(server: &str, name: &str) -> bool {
    let admin = crate::kit::connect(server).await.unwrap();
    let sql = "SELECT bool_and(s.ssl) FROM pg_stat_ssl AS s JOIN pg_stat_activity AS a USING (pid)
               WHERE a.application_name = $1";
    admin.query_one(sql, &[&name]).await.unwrap().get(0)
}
