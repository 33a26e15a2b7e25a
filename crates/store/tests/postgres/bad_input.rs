//! What is wrong with a URL, a server or a schema is told by a typed error that says what to do, and what is there is left
//! as it is.

use std::sync::Arc;

use steadfast_store::env::Env;
use steadfast_store::{
    CreateTask, Label, OpenError, Payload, PostgresOptions, PostgresStore, RecordVerification, Store as _,
    StoreError, StoreExt as _, TaskId, Verdict,
};

use crate::kit::{Schema, connect};
use crate::server::Server;

async fn refused(url: &str) -> OpenError {
    let options = PostgresOptions::from_url(url).unwrap();
    PostgresStore::open(options, Env::system()).await.unwrap_err()
}

/// The server's URL with another user, password or database.
fn with(server: &str, user: Option<(&str, &str)>, database: Option<&str>) -> String {
    let (head, rest) = server.rsplit_once('@').unwrap();
    let (hosts, tail) = rest.split_once('/').unwrap();
    let (name, query) =
        tail.split_once('?').map_or((tail, String::new()), |(name, query)| (name, format!("&{query}")));
    let head = user.map_or(head.to_owned(), |(name, password)| format!("postgres://{name}:{password}"));
    format!("{head}@{hosts}/{}?create=1{query}", database.unwrap_or(name))
}

async fn schemas(server: &'static str, name: &str) -> i64 {
    let client = connect(server).await.unwrap();
    let sql = "SELECT count(*) FROM pg_namespace WHERE nspname = $1";
    client.query_one(sql, &[&name]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_told() {
    let told = refused("postgres://agent:secret@127.0.0.1:1/agents?connect_timeout=5").await;
    assert!(matches!(told, OpenError::Unreachable { .. }), "{told}");
    let told = told.to_string();
    assert!(told.contains("127.0.0.1:1") && !told.contains("secret"), "{told}");
    let told = refused("postgres://agent@no-such-host.invalid/agents?connect_timeout=5").await;
    assert!(matches!(told, OpenError::Unreachable { .. }), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_opened_by_its_url() {
    let Some(server) = crate::server::url() else { return };
    let schema = Schema::new(server).await.unwrap();
    for url in [schema.url(), schema.url().replacen("postgres://", "postgresql://", 1)] {
        let store = steadfast_store::open(&url, Env::system()).await.unwrap();
        assert_eq!(store.health().await.unwrap().checkpoints, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_a_missing_database_and_a_role_without_rights_are_told_apart() {
    let Some(server) = crate::server::url() else { return };
    let schema = Schema::new(server).await.unwrap();
    let role = format!("role_{}", schema.name());
    let make = format!("CREATE ROLE {role} LOGIN PASSWORD 'right'");
    schema.admin().batch_execute(&make).await.unwrap();

    let told = refused(&with(server, Some((&role, "wrong")), None)).await;
    assert!(matches!(told, OpenError::AccessDenied { .. }), "{told}");
    assert!(!told.to_string().contains("wrong"), "{told}");
    let told = refused(&with(server, None, Some("no_such_database"))).await;
    assert!(matches!(told, OpenError::NoSuchDatabase { .. }), "{told}");
    // It may connect, and not make a schema.
    let url = format!("{}&schema={}", with(server, Some((&role, "right")), None), schema.name());
    let told = refused(&url).await;
    assert!(matches!(told, OpenError::AccessDenied { .. }), "{told}");
    assert_eq!(schemas(server, schema.name()).await, 0, "nothing was made");
    schema.admin().batch_execute(&format!("DROP ROLE {role}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    let Some(server) = crate::server::url() else { return };
    let schema = Schema::new(server).await.unwrap();
    let has_tls: bool =
        schema.admin().query_one("SELECT current_setting('ssl') = 'on'", &[]).await.unwrap().get(0);
    if has_tls {
        eprintln!("the server has TLS: nothing to refuse");
        return;
    }
    for mode in ["require", "verify-full"] {
        let told = refused(&format!("{}&sslmode={mode}", schema.url())).await;
        assert!(matches!(told, OpenError::Unreachable { .. }), "{told}");
        assert!(told.to_string().contains("TLS"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_something_else_is_left_untouched() {
    let Some(server) = crate::server::url() else { return };
    let schema = Schema::new(server).await.unwrap();
    let name = schema.name();
    let make = format!(
        "CREATE SCHEMA {name}; CREATE TABLE {name}.tasks (note text); INSERT INTO {name}.tasks VALUES ('mine')"
    );
    schema.admin().batch_execute(&make).await.unwrap();
    let told = refused(&schema.url()).await;
    assert!(matches!(&told, OpenError::ForeignSchema { tables: 1, .. }), "{told}");
    let kept: i64 = schema
        .admin()
        .query_one(&format!("SELECT count(*) FROM {name}.tasks WHERE note = 'mine'"), &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(kept, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_missing_older_or_newer_is_told_as_such() {
    let Some(server) = crate::server::url() else { return };
    let schema = Schema::new(server).await.unwrap();
    let without_making = format!("{}&create=0", schema.url());
    let told = refused(&without_making).await;
    assert!(matches!(told, OpenError::NotThere { .. }), "{told}");
    assert_eq!(schemas(server, schema.name()).await, 0, "nothing was made");

    PostgresStore::open(schema.options(), Env::system()).await.unwrap().close().await;
    let set = |version: i32| format!("UPDATE {}.store_meta SET schema_version = {version}", schema.name());
    schema.admin().batch_execute(&set(4)).await.unwrap();
    let told = refused(&without_making).await;
    assert!(matches!(told, OpenError::SchemaTooOld { found: 4, needed: 5, .. }), "{told}");
    schema.admin().batch_execute(&set(99)).await.unwrap();
    let told = refused(&schema.url()).await;
    assert!(matches!(told, OpenError::SchemaTooNew { found: 99, supported: 5, .. }), "{told}");
    schema.admin().batch_execute(&set(5)).await.unwrap();
    PostgresStore::open(PostgresOptions::from_url(&without_making).unwrap(), Env::system()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_schema_opened_by_many_at_once_is_made_once() {
    let Some(server) = crate::server::url() else { return };
    let schema = Schema::new(server).await.unwrap();
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let schema = Arc::clone(&schema);
            tokio::spawn(async move { PostgresStore::open(schema.options(), Env::system()).await.map(drop) })
        })
        .collect();
    for opened in opening {
        opened.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_no_writes_or_not_every_name_is_refused() {
    let Some(server) = crate::server::url() else { return };
    let schema = Schema::new(server).await.unwrap();
    let database = format!("db_{}", schema.name());
    let make = format!(
        "CREATE DATABASE {database} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
    );
    schema.admin().batch_execute(&make).await.unwrap();
    let told = refused(&with(server, None, Some(&database))).await;
    assert!(matches!(&told, OpenError::UnfitServer { what, .. } if what.contains("SQL_ASCII")), "{told}");
    // As a standby does.
    let set = format!("ALTER DATABASE {database} SET default_transaction_read_only = on");
    schema.admin().batch_execute(&set).await.unwrap();
    let told = refused(&with(server, None, Some(&database))).await;
    assert!(
        matches!(&told, OpenError::UnfitServer { what, .. } if what.contains("takes no writes")),
        "{told}"
    );
    schema.admin().batch_execute(&format!("DROP DATABASE {database} WITH (FORCE)")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_sync_is_refused() {
    if crate::server::url().is_none() || std::env::var_os(crate::server::URL_VARIABLE).is_some() {
        return;
    }
    let server = tokio::task::spawn_blocking(|| Server::start(&["fsync=off"])).await.unwrap().unwrap();
    let told = refused(server.url()).await;
    assert!(matches!(&told, OpenError::UnfitServer { what, .. } if what.contains("fsync = on")), "{told}");
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_with_a_nul_is_refused_before_anything_is_sent() {
    let Some(server) = crate::server::url() else { return };
    let schema = Schema::new(server).await.unwrap();
    let store = PostgresStore::open(schema.options(), Env::system()).await.unwrap();
    let task = TaskId::new("t").unwrap();
    let kind = Label::new("research").unwrap();
    let mut batch = steadfast_store::Batch::durable();
    batch.add(CreateTask { task: task.clone(), kind, input: Payload::empty() });
    batch.add(RecordVerification {
        checkpoint: steadfast_store::CheckpointId::from_bytes([1; 16]),
        verdict: Verdict::Failed,
        detail: "nul\0inside".into(),
    });
    let error = store.commit(batch).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid { what } if what.contains("NUL")), "{error}");
    assert!(store.task(&task).await.unwrap().is_none(), "nothing was applied");
    let prefix = steadfast_store::PurgeOperations {
        prefix: "\0".into(),
        older_than: std::time::Duration::ZERO,
        limit: 1,
    };
    assert!(store.purge_operations(prefix).await.is_err());
}
