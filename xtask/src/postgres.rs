//! A throw-away PostgreSQL server to play with: the one that the tests of the store start, for as long as somebody sits
//! before it.

use std::ffi::OsString;
use std::io;

use crate::cluster::Server;

/// The exit code when there is no server.
const EXIT_FAILED: u8 = 1;

/// Starts a server with these settings, prints its URL, and keeps it until a line is read, the input ends or this is
/// interrupted.
pub(crate) fn run(settings: &[OsString]) -> u8 {
    let settings: Vec<String> = settings.iter().map(|text| text.to_string_lossy().into_owned()).collect();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let server = match Server::start(&settings) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("xtask: {error}");
            return EXIT_FAILED;
        }
    };
    crate::print(&format!("{}\n", server.url()));
    eprintln!("the server and its data go with Enter or Ctrl-C");
    // However the wait ends, so does the server.
    drop(io::stdin().read_line(&mut String::new()));
    0
}
