//! Making a connection: the first of the hosts that takes writes, protected as asked, and only to a server on which what
//! this store promises can be kept.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::env::Env;
use crate::error::OpenError;
use crate::postgres::connection::{Connection, Step, Texts};
use crate::postgres::failure::Trouble;
use crate::postgres::notices::follow;
use crate::postgres::options::{PostgresOptions, PostgresStatements, PostgresTls};
use crate::postgres::{sql, tls};
use crate::sync::within;

/// The oldest server that is supported, as it tells its version.
const SERVER_VERSION_MIN: i32 = 130_000;
/// How long all hosts together may take to answer.
const CONNECT_MAX: Duration = Duration::from_secs(30);
/// How long a new connection may take to answer what is asked of its server.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// Makes connections.
pub(super) struct Connector {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    texts: Arc<Texts>,
    prepares: bool,
    env: Env,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("is_protected", &self.tls.is_some()).finish_non_exhaustive()
    }
}

/// A connection, and how its server commits what must be durable.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) connection: Connection,
    pub(super) durable: &'static str,
}

impl Connector {
    pub(super) fn new(options: &PostgresOptions, env: Env) -> Result<Self, OpenError> {
        // A socket of the machine has no name that a certificate could be for, and needs no cover.
        let is_local = options.config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)))
            && options.config.get_hostaddrs().is_empty();
        let tls = match options.tls {
            PostgresTls::Disable => None,
            _ if is_local => None,
            mode => Some(tls::connector(mode, options.root_certificates.as_deref())?),
        };
        let texts = Arc::new(Texts::new(&options.schema));
        let prepares = options.statements == PostgresStatements::Named;
        let mut config = options.config.clone();
        if is_local {
            config.ssl_mode(tokio_postgres::config::SslMode::Disable);
        }
        Ok(Self { config, tls, texts, prepares, env })
    }

    /// Makes one.
    pub(super) async fn connect(&self) -> Result<Connected, Trouble> {
        let silent = Trouble::Silent { waited: CONNECT_MAX };
        let connection = within(&self.env, CONNECT_MAX, self.reach()).await.unwrap_or(Err(silent))?;
        let durable = self.look(&connection).await?;
        Ok(Connected { connection, durable })
    }

    async fn reach(&self) -> Result<Connection, Trouble> {
        // What ends a connection is told to whoever uses it.
        let client = if let Some(tls) = &self.tls {
            let (client, driver) = self.config.connect(tls.clone()).await?;
            self.env.runtime().spawn(Box::pin(async move { drop(driver.await) }));
            client
        } else {
            let (client, driver) = self.config.connect(NoTls).await?;
            self.env.runtime().spawn(Box::pin(async move { drop(driver.await) }));
            client
        };
        Ok(Connection::new(client, Arc::clone(&self.texts), self.prepares))
    }

    /// Listens on a connection that is for nothing else, until that ends.
    pub(super) async fn listen(&self, listen: &str, heard: impl Fn() + Send + Sync) -> Result<(), Trouble> {
        if let Some(tls) = &self.tls {
            let (client, driver) = self.config.connect(tls.clone()).await?;
            follow(client, driver, listen, heard).await
        } else {
            let (client, driver) = self.config.connect(NoTls).await?;
            follow(client, driver, listen, heard).await
        }
    }

    /// Refuses a server on which nothing can be promised. Each connection looks: after a failover it is another server.
    async fn look(&self, connection: &Connection) -> Result<&'static str, Trouble> {
        let steps = vec![Step::Query(sql::server::LOOK, Vec::new())];
        let answers = connection.run(&self.env, LOOK_MAX, steps).await?;
        let row = answers
            .first()
            .and_then(|rows| rows.first())
            .ok_or_else(|| Trouble::impossible("what the server says of itself"))?;
        let said = "what the server says of itself";
        let wrong = |_| Trouble::impossible(said);
        let version: i32 = row.try_get(0).map_err(wrong)?;
        let name: &str = row.try_get(1).map_err(wrong)?;
        let syncs: bool = row.try_get(2).map_err(wrong)?;
        let commits: &str = row.try_get(3).map_err(wrong)?;
        let encoding: &str = row.try_get(4).map_err(wrong)?;
        let is_standby: bool = row.try_get(5).map_err(wrong)?;
        let unfit = |what: String| Err(Trouble::Unfit { what });
        if version < SERVER_VERSION_MIN {
            let oldest = SERVER_VERSION_MIN / 10_000;
            return unfit(format!(
                "the server is PostgreSQL {name}, the oldest supported is {oldest}: upgrade it"
            ));
        }
        if !syncs {
            return unfit(
                "the server runs with fsync = off, and so keeps nothing over a power loss: set fsync = on in its \
                 postgresql.conf and restart it"
                    .to_owned(),
            );
        }
        if encoding != "UTF8" {
            return unfit(format!(
                "the database has the encoding {encoding}, and not every name could be stored in it: create it with ENCODING 'UTF8'"
            ));
        }
        if is_standby {
            return unfit(
                "the server is a standby: name the primary, or all hosts of the cluster".to_owned(),
            );
        }
        Ok(match commits {
            // Whatever the server does by default: what is durable here is flushed.
            "local" => "local",
            "remote_write" => "remote_write",
            "remote_apply" => "remote_apply",
            _ => "on",
        })
    }
}

/// What somebody is told who wanted to open the store.
pub(super) fn not_opened(trouble: Trouble, options: &PostgresOptions) -> OpenError {
    let server = options.server();
    let code = trouble.code().cloned();
    let is = |codes: &[SqlState]| code.as_ref().is_some_and(|code| codes.contains(code));
    if let Trouble::Unfit { what } = trouble {
        return OpenError::UnfitServer { server, what };
    }
    let source = Box::new(trouble);
    if is(&[
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        SqlState::INSUFFICIENT_PRIVILEGE,
    ]) {
        return OpenError::AccessDenied { server, source };
    }
    if is(&[SqlState::INVALID_CATALOG_NAME]) {
        return OpenError::NoSuchDatabase { server };
    }
    if is(&[SqlState::READ_ONLY_SQL_TRANSACTION]) || is_read_only(&source) {
        let what = "it takes no writes: name the primary, or all hosts of the cluster".to_owned();
        return OpenError::UnfitServer { server, what };
    }
    OpenError::Unreachable { server, source }
}

/// The driver has found hosts, and none that takes writes.
fn is_read_only(trouble: &Trouble) -> bool {
    let Trouble::Postgres(error) = trouble else { return false };
    error
        .source()
        .and_then(|cause| cause.downcast_ref::<std::io::Error>())
        .is_some_and(|cause| cause.kind() == std::io::ErrorKind::PermissionDenied)
}
