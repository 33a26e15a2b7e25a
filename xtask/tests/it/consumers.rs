//! Each crate used alone: a tiny program outside the workspace that depends on that crate, a runtime, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crate, the features that its program asks for, and what stands in its `main`, to be run with the `url` of each store
/// and with `file`, the path of the one that is on disk.
const CONSUMERS: [(&str, &[&str], &str); 7] = [
    (
        "store",
        &["sqlite"],
        r#"
        use steadfast_store::{CreateTask, Label, Payload, StoreExt, TaskId, env::Env};
        let store = steadfast_store::open(url, Env::system()).await?;
        let (task, kind) = (TaskId::new("t")?, Label::new("k")?);
        store.create_task(CreateTask { task: task.clone(), kind, input: Payload::empty() }).await?;
        assert!(store.task(&task).await?.is_some());
        "#,
    ),
    (
        "leases",
        &["sqlite"],
        r#"
        use steadfast_leases::store::{HolderId, env::Env};
        use steadfast_leases::{LeaseManager, LeaseOptions};
        let store = steadfast_leases::store::open(url, Env::system()).await?;
        let leases = LeaseManager::new(store, LeaseOptions::new(HolderId::new("w")?))?;
        assert!(leases.claim().await?.is_none());
        "#,
    ),
    (
        "checkpoints",
        &["sqlite"],
        r#"
        use steadfast_checkpoints::store::{TaskId, env::Env};
        use steadfast_checkpoints::{CheckpointManager, CheckpointOptions};
        let store = steadfast_checkpoints::store::open(url, Env::system()).await?;
        let checkpoints = CheckpointManager::new(store, CheckpointOptions::new("."));
        assert!(checkpoints.last_verified(&TaskId::new("t")?).await.is_err());
        "#,
    ),
    (
        "recovery",
        &["sqlite"],
        r"
        use steadfast_recovery::store::env::Env;
        use steadfast_recovery::{SweepOptions, Sweeper};
        let store = steadfast_recovery::store::open(url, Env::system()).await?;
        assert_eq!(Sweeper::new(store, SweepOptions::default()).run_once().await.errors, 0);
        ",
    ),
    (
        "idempotency",
        &["sqlite"],
        r#"
        use steadfast_idempotency::store::{Label, env::Env};
        use steadfast_idempotency::{Effect, LedgerOptions, ToolCall, ToolLedger, ToolOutput};
        let store = steadfast_idempotency::store::open(url, Env::system()).await?;
        let ledger = ToolLedger::new(store, LedgerOptions::default())?;
        let call = ToolCall::new(Label::new("t")?, "k", "in", Effect::AtMostOnce);
        assert!(!ledger.run(&call, async || ToolOutput::Succeeded("out".into())).await?.replayed);
        "#,
    ),
    (
        "",
        &[],
        r#"
        use steadfast::prelude::*;
        let store = steadfast::open(url, Env::system()).await?;
        let task = TaskId::new("t")?;
        store.create_task(CreateTask { task: task.clone(), kind: Label::new("k")?, input: Payload::empty() }).await?;
        assert!(store.task(&task).await?.is_some());
        "#,
    ),
    (
        "chaos",
        &[],
        r#"
        use steadfast_chaos::vfs::{FaultVfs, FileRole, OpKind, Rule, Script};
        if url == "memory:" { continue; }
        let script = std::sync::Arc::new(Script::new());
        let database = FaultVfs::register("bad-disk", script.clone())?.open(file)?;
        database.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE tasks (id INTEGER PRIMARY KEY)")?;
        script.add(Rule::next(OpKind::Sync, FileRole::Wal, Script::EIO).lasting());
        assert!(database.execute("INSERT INTO tasks VALUES (1)", []).is_err());
        "#,
    ),
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A package of its own, with the versions that the workspace is locked to.
fn write(folder: &Path, name: &str, features: &[&str], body: &str) {
    let (package, path) = match name {
        "" => ("steadfast".to_owned(), "crates/steadfast".to_owned()),
        name => (format!("steadfast-{name}"), format!("crates/{name}")),
    };
    let path = workspace().join(path);
    let manifest = format!(
        "[package]\nname = \"consumer\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         {package} = {{ path = \"{}\", features = {features:?} }}\n\
         tokio = {{ version = \"1\", features = [\"macros\", \"rt\", \"time\"] }}\n",
        path.display()
    );
    let file = folder.join("agent.db").display().to_string();
    let main = format!(
        "#[tokio::main(flavor = \"current_thread\")]\nasync fn main() -> Result<(), Box<dyn std::error::Error>> {{\n\
         let file = {file:?};\nlet urls = [\"memory:\".to_owned(), format!(\"sqlite:{{file}}\")];\n\
         for url in urls.iter().map(String::as_str) {{\n{body}\n}}\n\
         assert!(std::fs::metadata(file)?.len() > 0, \"no store was on the disk\");\nOk(())\n}}\n"
    );
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::write(folder.join("src/main.rs"), main).unwrap();
    fs::copy(workspace().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
}

#[test]
fn each_crate_is_used_alone_by_a_program_outside_the_workspace() {
    let root = std::env::temp_dir().join(format!("steadfast-consumers-{}", std::process::id()));
    for (name, features, body) in CONSUMERS {
        let folder = root.join(if name.is_empty() { "steadfast" } else { name });
        write(&folder, name, features, body);
        let built = Command::new(env!("CARGO"))
            .args(["run", "--quiet"])
            .current_dir(&folder)
            // Shared by all of them and from run to run; never the workspace's own, which is locked while it tests.
            .env("CARGO_TARGET_DIR", workspace().join("target/consumers"))
            .env_remove("RUSTFLAGS")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "the consumer of {name:?} failed:\n{said}");
    }
    fs::remove_dir_all(root).unwrap();
}
