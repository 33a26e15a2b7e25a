//! How a PostgreSQL store is opened: its server and what may be chosen about it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::error::OpenError;
use crate::limits::TERM_MAX;

const KNOWN: &str = "schema, pool, statements, create, notify, hold_off, sslmode, sslrootcert, and those of libpq: application_name, \
                     connect_timeout, keepalives, keepalives_idle, keepalives_interval, keepalives_retries, \
                     tcp_user_timeout, load_balance_hosts, channel_binding, options, host, hostaddr, port, user, \
                     password, dbname";
const SCHEMA_ALLOWED: &str = "a name of 1 to 63 bytes without a NUL character, that does not begin with pg_";
const POOL_ALLOWED: &str = "a number of 2 to 256 connections";
const STATEMENTS_ALLOWED: &str = "named, or unnamed for a pooler in transaction mode";
const SWITCH_ALLOWED: &str = "0 or 1";
const HOLD_OFF_ALLOWED: &str = "a number of 0 to 604800 seconds";
const TLS_ALLOWED: &str = "disable, prefer, require or verify-full";

/// The longest name that PostgreSQL keeps whole, in bytes.
const NAME_BYTES_MAX: usize = 63;
/// How long a connection may take to be made, unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection is silent before it is probed, unless the URL says otherwise.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// The term of a lease that nobody chose otherwise, as in the reference.
const HOLD_OFF: Duration = Duration::from_secs(300);
/// What the driver has for it when nobody says anything.
const KEEPALIVE_IDLE_UNSAID: Duration = Duration::from_secs(2 * 60 * 60);
/// How long sent data may go unacknowledged, unless the URL says otherwise.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// How a connection is protected, as in libpq.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PostgresTls {
    /// Not at all.
    Disable,
    /// Encrypted if the server can. Whoever sits between the two can do as if it could not.
    #[default]
    Prefer,
    /// Encrypted. The server's certificate is not looked at: against listeners, not against impostors.
    Require,
    /// Encrypted, with a certificate for this very host from somebody who is trusted.
    VerifyFull,
}

/// How statements are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PostgresStatements {
    /// Prepared once for each connection.
    #[default]
    Named,
    /// With each use. For a pooler in front of the server that gives every transaction another session.
    Unnamed,
}

/// Where the server is, and what may be chosen about the store.
///
/// ```
/// use steadfast_store::PostgresOptions;
///
/// let url = "postgres://agent:secret@db1,db2/agents?schema=team_a&pool=8&sslmode=verify-full";
/// let options = PostgresOptions::from_url(url)?;
/// assert_eq!((options.schema.as_str(), options.pool), ("team_a", 8));
/// assert_eq!(options.server(), "db1,db2, database agents");
/// # Ok::<(), steadfast_store::OpenError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresOptions {
    pub(super) config: Config,
    /// The schema that holds the tables: `steadfast` unless chosen otherwise.
    pub schema: String,
    /// Connections at most, 2 to 256: 12 unless chosen otherwise. A third of them commits, the others read.
    pub pool: u32,
    /// How statements are sent.
    pub statements: PostgresStatements,
    /// Whether the schema is made when it is not there, and brought to this program's version when it is older: on
    /// unless switched off. Without it such a schema is refused and left as it is.
    pub create: bool,
    /// Whether commits are told to other processes by NOTIFY, and theirs heard by LISTEN, on a connection more: off unless
    /// switched on. All processes on a schema should have it alike. Not through a pooler in transaction mode.
    pub notify: bool,
    /// How long sweeps find nothing after the server's clock was seen to step: the longest term of a lease, 5 minutes
    /// unless chosen otherwise, a week at most.
    pub hold_off: Duration,
    /// How connections are protected.
    pub tls: PostgresTls,
    /// Certificates in PEM of those who are trusted to vouch for the server; the system's unless chosen otherwise.
    pub root_certificates: Option<PathBuf>,
}

/// Without the password.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("server", &self.server())
            .field("schema", &self.schema)
            .field("pool", &self.pool)
            .field("statements", &self.statements)
            .field("create", &self.create)
            .field("notify", &self.notify)
            .field("hold_off", &self.hold_off)
            .field("tls", &self.tls)
            .field("root_certificates", &self.root_certificates)
            .finish_non_exhaustive()
    }
}

impl PostgresOptions {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?option=value&…`, with the options `schema`, `pool`,
    /// `statements` (named or unnamed), `create` and `notify` (0 or 1), `hold_off` (seconds), `sslmode`, `sslrootcert` and those of
    /// libpq. Of several hosts
    /// the first that takes writes is used.
    ///
    /// # Errors
    /// [`OpenError`] for another scheme, an unknown option, or a value that an option cannot take. None repeats the URL,
    /// which holds a password.
    pub fn from_url(url: &str) -> Result<Self, OpenError> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(OpenError::UnknownScheme {
                url: url.split(':').next().unwrap_or_default().to_owned(),
            });
        }
        let (server, query) = url.split_once('?').unwrap_or((url, ""));
        let mut options = Self {
            config: Config::new(),
            schema: "steadfast".to_owned(),
            pool: 12,
            statements: PostgresStatements::default(),
            create: true,
            notify: false,
            hold_off: HOLD_OFF,
            tls: PostgresTls::default(),
            root_certificates: None,
        };
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (option, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !options.set(option, &decoded(value))? {
                rest.push(pair);
            }
        }
        let server = if rest.is_empty() { server.to_owned() } else { format!("{server}?{}", rest.join("&")) };
        options.config = server.parse().map_err(|error: tokio_postgres::Error| not_understood(&error))?;
        if options.config.get_hosts().is_empty() && options.config.get_hostaddrs().is_empty() {
            return Err(OpenError::InvalidOption {
                option: "host",
                value: String::new(),
                allowed: "the name or address of a server, as in postgres://user@host/database",
            });
        }
        options.settle();
        options.check()?;
        Ok(options)
    }

    /// Takes an option of this program's own; says whether it is one.
    fn set(&mut self, option: &str, value: &str) -> Result<bool, OpenError> {
        let invalid = |option, allowed| OpenError::InvalidOption { option, value: value.to_owned(), allowed };
        match option {
            "schema" => value.clone_into(&mut self.schema),
            "pool" => self.pool = value.parse().map_err(|_| invalid("pool", POOL_ALLOWED))?,
            "statements" => {
                self.statements = match value {
                    "named" => PostgresStatements::Named,
                    "unnamed" => PostgresStatements::Unnamed,
                    _ => return Err(invalid("statements", STATEMENTS_ALLOWED)),
                }
            }
            "create" => self.create = switch(value).ok_or_else(|| invalid("create", SWITCH_ALLOWED))?,
            "notify" => self.notify = switch(value).ok_or_else(|| invalid("notify", SWITCH_ALLOWED))?,
            "hold_off" => {
                let seconds = value.parse().map_err(|_| invalid("hold_off", HOLD_OFF_ALLOWED))?;
                self.hold_off = Duration::from_secs(seconds);
            }
            "sslmode" => {
                self.tls = match value {
                    "disable" => PostgresTls::Disable,
                    "prefer" => PostgresTls::Prefer,
                    "require" => PostgresTls::Require,
                    "verify-full" => PostgresTls::VerifyFull,
                    _ => return Err(invalid("sslmode", TLS_ALLOWED)),
                }
            }
            "sslrootcert" => self.root_certificates = Some(value.into()),
            // A store that cannot be written to is none.
            "target_session_attrs" if value == "read-write" => {}
            "target_session_attrs" => return Err(invalid("target_session_attrs", "read-write")),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What nobody said of the connections.
    fn settle(&mut self) {
        let config = &mut self.config;
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.ssl_mode(match self.tls {
            PostgresTls::Disable => SslMode::Disable,
            PostgresTls::Prefer => SslMode::Prefer,
            PostgresTls::Require | PostgresTls::VerifyFull => SslMode::Require,
        });
        if config.get_application_name().is_none() {
            config.application_name("steadfast");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(TCP_USER_TIMEOUT);
        }
        if config.get_keepalives_idle() == KEEPALIVE_IDLE_UNSAID {
            config.keepalives_idle(KEEPALIVE_IDLE);
        }
    }

    /// Checks every bound, however the fields were set.
    pub(super) fn check(&self) -> Result<(), OpenError> {
        let invalid = |option, value: &dyn ToString, allowed| OpenError::InvalidOption {
            option,
            value: value.to_string(),
            allowed,
        };
        let schema = &self.schema;
        if schema.is_empty()
            || schema.len() > NAME_BYTES_MAX
            || schema.contains('\0')
            || schema.starts_with("pg_")
        {
            return Err(invalid("schema", schema, SCHEMA_ALLOWED));
        }
        if self.hold_off > TERM_MAX {
            return Err(invalid("hold_off", &self.hold_off.as_secs(), HOLD_OFF_ALLOWED));
        }
        if !(2..=256).contains(&self.pool) {
            return Err(invalid("pool", &self.pool, POOL_ALLOWED));
        }
        Ok(())
    }

    /// The hosts and the database, for people: without user and password.
    pub fn server(&self) -> String {
        let ports = self.config.get_ports();
        let hosts = self.config.get_hosts().iter().enumerate().map(|(number, host)| {
            let name = match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(folder) => folder.display().to_string(),
            };
            match ports.get(number).or(ports.first()) {
                Some(port) if *port != 5_432 => format!("{name}:{port}"),
                _ => name,
            }
        });
        let addresses = self.config.get_hostaddrs().iter().map(ToString::to_string);
        let hosts: Vec<String> =
            if self.config.get_hosts().is_empty() { addresses.collect() } else { hosts.collect() };
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or("of the user's name");
        format!("{}, database {database}", hosts.join(","))
    }

    /// The connections that commit at the same time.
    pub(super) fn commits(&self) -> usize {
        (self.pool as usize / 3).max(1)
    }
}

fn switch(value: &str) -> Option<bool> {
    match value {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

/// What the driver says of a URL, without the URL.
fn not_understood(error: &tokio_postgres::Error) -> OpenError {
    use std::error::Error as _;
    let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    match cause.strip_prefix("unknown option `").and_then(|rest| rest.strip_suffix('`')) {
        Some(option) => OpenError::UnknownOption { option: option.to_owned(), known: KNOWN },
        None => {
            OpenError::InvalidOption { option: "url", value: cause, allowed: "see PostgresOptions::from_url" }
        }
    }
}

/// The text behind `%XX`; whatever is none stays.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = if *first == b'%' { tail.get(..2).and_then(hexadecimal) } else { None };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    std::str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_a_url() {
        let url = "postgresql://u:p%40ss@[::1]:5433,b/d?schema=a%22b&pool=2&statements=unnamed&create=0\
                   &hold_off=60&sslmode=require&sslrootcert=/etc/ca.pem&connect_timeout=3";
        let options = PostgresOptions::from_url(url).unwrap();
        assert_eq!((options.schema.as_str(), options.pool, options.create), ("a\"b", 2, false));
        assert_eq!((options.statements, options.tls), (PostgresStatements::Unnamed, PostgresTls::Require));
        assert_eq!(options.root_certificates, Some(PathBuf::from("/etc/ca.pem")));
        assert_eq!(options.config.get_password(), Some(&b"p@ss"[..]));
        assert_eq!(options.config.get_connect_timeout(), Some(&Duration::from_secs(3)));
        assert_eq!(options.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!((options.commits(), options.hold_off), (1, Duration::from_secs(60)));
    }

    #[test]
    fn what_no_option_can_take_is_refused() {
        for query in [
            "pool=1",
            "pool=x",
            "schema=",
            "schema=pg_x",
            "statements=some",
            "create=yes",
            "notify=",
            "hold_off=604801",
            "sslmode=verify",
            "target_session_attrs=read-only",
            "connect_timeout=soon",
        ] {
            let error = PostgresOptions::from_url(&format!("postgres://u:secret@h/d?{query}")).unwrap_err();
            assert!(matches!(error, OpenError::InvalidOption { .. }), "{query}: {error}");
        }
        let error = PostgresOptions::from_url("postgres://u:secret@h/d?color=red").unwrap_err();
        assert!(matches!(&error, OpenError::UnknownOption { option, .. } if option == "color"), "{error}");
        assert!(PostgresOptions::from_url("mysql://u:secret@h/d").is_err());
        assert!(PostgresOptions::from_url("postgres:///d").is_err());
    }

    #[test]
    fn a_password_is_told_to_nobody() {
        let told = [
            format!("{:?}", PostgresOptions::from_url("postgres://u:secret@h/d").unwrap()),
            PostgresOptions::from_url("postgres://u:secret@h:port/d").unwrap_err().to_string(),
            PostgresOptions::from_url("mysql://u:secret@h/d").unwrap_err().to_string(),
            PostgresOptions::from_url("postgres://u:secret@h/d?color=red").unwrap_err().to_string(),
        ];
        assert!(told.iter().all(|told| !told.contains("secret")), "{told:?}");
    }
}
