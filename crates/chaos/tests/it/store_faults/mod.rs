//! What the store makes of a faulty device: nothing is acknowledged that a later kill or power loss takes, nothing
//! that was answered as failed is there, and what is unknown is resolved by submitting it again.
//!
//! A store runs in a process of its own, on a device ([`steadfast_chaos::prove::iofault::disk`]) that fails as it is told and models what reaches it;
//! the process kills itself; then the file is recovered, once as SIGKILL leaves it and several times as a simulated
//! power loss would. What SQLite alone does is tested by `failed_sync`.

mod deed;
mod every_operation;
mod folding;
mod gate;
mod groups;
mod lab;
mod peer;
mod poisoned;
mod worker;
