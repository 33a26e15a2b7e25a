//! The one server of this test program: the one that the environment names, or one that is started.

use std::io::{self, Write as _};
use std::sync::OnceLock;

pub(crate) use crate::cluster::Server;

/// Names a server to be used instead of one that is started.
pub(crate) const URL_VARIABLE: &str = "STEADFAST_POSTGRES_URL";
/// Set to 1, a missing server is a failure and not a reason to skip.
const REQUIRE_VARIABLE: &str = "STEADFAST_REQUIRE_POSTGRES";
/// The server of this process, started once. `None` where there is none and none is required.
///
/// # Panics
/// Where one is required and cannot be had.
pub(crate) fn url() -> Option<&'static str> {
    static SERVER: OnceLock<Result<(Option<Server>, String), String>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        if let Ok(url) = std::env::var(URL_VARIABLE) {
            return Ok((None, url));
        }
        let started = Server::start(&[]).map(|server| {
            let url = server.url().to_owned();
            (Some(server), url)
        });
        if let Err(error) = &started {
            // Past the capture of the tests' output: a skip must be seen.
            let _ = writeln!(io::stderr(), "PostgreSQL tests are skipped: {error}");
        }
        started
    });
    match server {
        Ok((_, url)) => Some(url),
        Err(error) if std::env::var_os(REQUIRE_VARIABLE).is_some_and(|value| value == "1") => {
            panic!("{REQUIRE_VARIABLE} is set, and there is no server: {error}")
        }
        Err(_) => None,
    }
}
