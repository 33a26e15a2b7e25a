//! The only file that draws randomness.

use std::fmt::Debug;

use crate::sync::Mutex;

/// A source of random bytes.
pub trait Rng: Debug + Send + Sync {
    /// Fills the whole of `buffer`.
    fn fill(&self, buffer: &mut [u8]);
}

/// The kernel's randomness (getrandom(2)). Salts and ids come from it, so it must be unpredictable.
#[derive(Debug, Clone, Copy)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn fill(&self, buffer: &mut [u8]) {
        let mut filled = 0;
        while filled < buffer.len() {
            match rustix::rand::getrandom(&mut buffer[filled..], rustix::rand::GetRandomFlags::empty()) {
                Ok(count) => filled += count,
                Err(rustix::io::Errno::INTR) => {}
                // Without randomness ids would collide: there is nothing sensible to go on with.
                Err(error) => panic!("the kernel gives no randomness: {error}"),
            }
        }
    }
}

/// The same bytes for the same seed: the output of BLAKE3 over a counter. For tests and simulation.
///
/// ```
/// # use std::sync::Arc;
/// use steadfast_store::env::{Env, SeededRng};
///
/// // The same ids and jitter in every run of a test.
/// let env = Env::system().with_rng(Arc::new(SeededRng::new(7)));
/// # let _ = env;
/// ```
#[derive(Debug)]
pub struct SeededRng {
    seed: u64,
    drawn: Mutex<u64>,
}

impl SeededRng {
    /// Starts the sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: Mutex::new(0) }
    }
}

impl Rng for SeededRng {
    fn fill(&self, buffer: &mut [u8]) {
        let mut drawn = self.drawn.lock();
        *drawn += 1;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes()).update(&drawn.to_le_bytes());
        hasher.finalize_xof().fill(buffer);
    }
}
