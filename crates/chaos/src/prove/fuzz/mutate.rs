//! A small mutator: inputs like those of a corpus and unlike them, from one seed. libFuzzer does better where it runs,
//! since it sees what code an input reaches; this one runs everywhere, and the same each time.

use fastrand::Rng;

/// Longest input that is made, in bytes.
const INPUT_BYTES_MAX: usize = 4_096;
/// Most changes to one input, and most bytes put in or taken out by one of them.
const CHANGES_MAX: usize = 6;
const RUN_BYTES_MAX: usize = 64;
/// How far a number is moved.
const STEP_MAX: u64 = 35;
/// Bytes at which decoders turn, beside those that the corpus holds.
const EDGES: [u8; 14] = [0, 1, 0x7f, 0x80, 0xff, b'/', b'.', b':', b'?', b'"', b'{', b'9', b'\n', 0xc3];

/// A new input: one of the corpus, changed a few times.
pub(super) fn mutated(corpus: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = pick(corpus, rng).to_vec();
    for _ in 0..rng.usize(1..=CHANGES_MAX) {
        change(&mut input, corpus, rng);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn pick<'a>(corpus: &'a [Vec<u8>], rng: &mut Rng) -> &'a [u8] {
    if corpus.is_empty() { &[] } else { &corpus[rng.usize(0..corpus.len())] }
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut Rng) {
    if input.is_empty() {
        let length = rng.usize(0..RUN_BYTES_MAX);
        input.extend(std::iter::repeat_with(|| rng.u8(..)).take(length));
        return;
    }
    let at = rng.usize(0..input.len());
    match rng.u8(0..9) {
        0 => input[at] ^= 1 << rng.u8(0..8),
        1 => input[at] = EDGES[rng.usize(0..EDGES.len())],
        2 => input[at] = rng.u8(..),
        3 => step(input, at, rng),
        4 => drop(input.drain(at..input.len().min(at + rng.usize(0..RUN_BYTES_MAX)))),
        5 => input.truncate(at),
        6 => {
            // A piece of itself once more.
            let end = input.len().min(at + rng.usize(1..RUN_BYTES_MAX));
            let piece = input[at..end].to_vec();
            let place = rng.usize(0..=input.len());
            drop(input.splice(place..place, piece));
        }
        7 => {
            // A piece of another one, in place of some bytes or between them.
            let other = pick(corpus, rng);
            let from = rng.usize(0..=other.len());
            let to = rng.usize(from..=other.len());
            let end = if rng.bool() { at } else { input.len().min(at + to - from) };
            drop(input.splice(at..end, other[from..to].iter().copied()));
        }
        _ => {
            let length = rng.usize(1..=8);
            let bytes: Vec<u8> =
                std::iter::repeat_with(|| EDGES[rng.usize(0..EDGES.len())]).take(length).collect();
            drop(input.splice(at..at, bytes));
        }
    }
}

/// Moves a number of one to eight bytes, in either order, up or down.
fn step(input: &mut [u8], at: usize, rng: &mut Rng) {
    let width = 1 << rng.u8(0..4);
    let Some(bytes) = input.get_mut(at..at + width) else { return };
    let by = if rng.bool() { rng.u64(1..=STEP_MAX) } else { rng.u64(1..=STEP_MAX).wrapping_neg() };
    let is_big_endian = rng.bool();
    if is_big_endian {
        bytes.reverse();
    }
    let mut number = [0; 8];
    number[..width].copy_from_slice(bytes);
    let number = u64::from_le_bytes(number).wrapping_add(by).to_le_bytes();
    bytes.copy_from_slice(&number[..width]);
    if is_big_endian {
        bytes.reverse();
    }
}

/// The smallest input found that still fails, by leaving out ever smaller runs of bytes.
pub(super) fn shrunk(input: &[u8], fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut smallest = input.to_vec();
    let mut run = smallest.len().div_ceil(2);
    while run > 0 {
        let mut at = 0;
        while at < smallest.len() {
            let mut less = smallest.clone();
            drop(less.drain(at..smallest.len().min(at + run)));
            if fails(&less) {
                smallest = less;
            } else {
                at += run;
            }
        }
        run /= 2;
    }
    smallest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_another_one_others() {
        let corpus = [b"first of the corpus".to_vec(), b"second".to_vec(), Vec::new()];
        let made = |seed| {
            let mut rng = Rng::with_seed(seed);
            (0..500).map(|_| mutated(&corpus, &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
        let distinct: BTreeSet<Vec<u8>> = made(1).into_iter().collect();
        assert!(distinct.len() > 450, "{} distinct inputs of 500", distinct.len());
        assert!(distinct.iter().all(|input| input.len() <= INPUT_BYTES_MAX));
    }

    #[test]
    fn a_failing_input_is_shrunk_to_what_it_fails_by() {
        let fails = |input: &[u8]| input.contains(&b'!') && input.contains(&b'?');
        assert_eq!(shrunk(b"long before ! and between ? and after", fails), b"!?");
    }
}
