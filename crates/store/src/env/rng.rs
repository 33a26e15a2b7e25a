//! The only file that draws randomness.

use std::fmt::Debug;

use crate::sync::Mutex;

/// A source of random bytes.
///
/// ```
/// use std::sync::Arc;
/// use steadfast_store::TaskId;
/// use steadfast_store::env::{Env, Rng, SeededRng};
///
/// /// What a test has drawn, and how often.
/// #[derive(Debug)]
/// struct Counted(SeededRng, std::sync::atomic::AtomicU32);
///
/// impl Rng for Counted {
///     fn fill(&self, buffer: &mut [u8]) {
///         self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
///         self.0.fill(buffer);
///     }
/// }
/// let rng = Arc::new(Counted(SeededRng::new(7), Default::default()));
/// let _ = TaskId::generate(&Env::system().with_rng(rng.clone()));
/// assert!(rng.1.load(std::sync::atomic::Ordering::Relaxed) > 0);
/// ```
pub trait Rng: Debug + Send + Sync {
    /// Fills the whole of `buffer`.
    fn fill(&self, buffer: &mut [u8]);
}

/// The kernel's randomness (getrandom(2)). Salts and ids come from it, so it must be unpredictable.
///
/// ```
/// use steadfast_store::env::{Rng, SystemRng};
///
/// let mut salt = [0; 16];
/// SystemRng.fill(&mut salt);
/// assert_ne!(salt, [0; 16]);
/// ```
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
