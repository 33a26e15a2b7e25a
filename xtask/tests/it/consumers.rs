//! Each crate used alone: a tiny program outside the workspace that depends on that crate, a runtime, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crate, and what stands in its program's `main`.
const CONSUMERS: [(&str, &str); 6] = [
    (
        "store",
        r#"
        use steadfast_store::{CreateTask, Label, MemoryStore, Payload, Store, StoreExt, TaskId, env::Env};
        let store = MemoryStore::new(Env::system());
        let (task, kind) = (TaskId::new("t")?, Label::new("k")?);
        store.create_task(CreateTask { task: task.clone(), kind, input: Payload::empty() }).await?;
        assert!(store.task(&task).await?.is_some());
        "#,
    ),
    (
        "leases",
        r#"
        use steadfast_leases::store::{HolderId, MemoryStore, env::Env};
        use steadfast_leases::{LeaseManager, LeaseOptions};
        let store = std::sync::Arc::new(MemoryStore::new(Env::system()));
        let leases = LeaseManager::new(store, LeaseOptions::new(HolderId::new("w")?))?;
        assert!(leases.claim().await?.is_none());
        "#,
    ),
    (
        "checkpoints",
        r#"
        use steadfast_checkpoints::store::{MemoryStore, TaskId, env::Env};
        use steadfast_checkpoints::{CheckpointManager, CheckpointOptions};
        let store = std::sync::Arc::new(MemoryStore::new(Env::system()));
        let checkpoints = CheckpointManager::new(store, CheckpointOptions::new("."));
        assert!(checkpoints.last_verified(&TaskId::new("t")?).await.is_err());
        "#,
    ),
    (
        "recovery",
        r"
        use steadfast_recovery::store::{MemoryStore, env::Env};
        use steadfast_recovery::{SweepOptions, Sweeper};
        let store = std::sync::Arc::new(MemoryStore::new(Env::system()));
        assert_eq!(Sweeper::new(store, SweepOptions::default()).run_once().await.errors, 0);
        ",
    ),
    (
        "idempotency",
        r#"
        use steadfast_idempotency::store::{Label, MemoryStore, env::Env};
        use steadfast_idempotency::{Effect, LedgerOptions, ToolCall, ToolLedger, ToolOutput};
        let ledger = ToolLedger::new(std::sync::Arc::new(MemoryStore::new(Env::system())), LedgerOptions::default())?;
        let call = ToolCall::new(Label::new("t")?, "k", "in", Effect::AtMostOnce);
        assert!(!ledger.run(&call, async || ToolOutput::Succeeded("out".into())).await?.replayed);
        "#,
    ),
    (
        "",
        r#"
        use steadfast::prelude::*;
        let file = std::env::temp_dir().join(format!("steadfast-consumer-{}.db", std::process::id()));
        for url in ["memory:".to_owned(), format!("sqlite:{}", file.display())] {
            let store = steadfast::open(&url, Env::system()).await?;
            let task = TaskId::new("t")?;
            store.create_task(CreateTask { task: task.clone(), kind: Label::new("k")?, input: Payload::empty() }).await?;
            assert!(store.task(&task).await?.is_some());
        }
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", file.display()));
        }
        "#,
    ),
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A package of its own, with the versions that the workspace is locked to.
fn write(folder: &Path, name: &str, body: &str) {
    let (package, path) = match name {
        "" => ("steadfast".to_owned(), "crates/steadfast".to_owned()),
        name => (format!("steadfast-{name}"), format!("crates/{name}")),
    };
    let path = workspace().join(path);
    let manifest = format!(
        "[package]\nname = \"consumer\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         {package} = {{ path = \"{}\" }}\n\
         tokio = {{ version = \"1\", features = [\"macros\", \"rt\", \"time\"] }}\n",
        path.display()
    );
    let main = format!(
        "#[tokio::main(flavor = \"current_thread\")]\nasync fn main() -> Result<(), Box<dyn std::error::Error>> {{\n\
         {body}\nOk(())\n}}\n"
    );
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::write(folder.join("src/main.rs"), main).unwrap();
    fs::copy(workspace().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
}

#[test]
fn each_crate_is_used_alone_by_a_program_outside_the_workspace() {
    let root = std::env::temp_dir().join(format!("steadfast-consumers-{}", std::process::id()));
    for (name, body) in CONSUMERS {
        let folder = root.join(if name.is_empty() { "steadfast" } else { name });
        write(&folder, name, body);
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
