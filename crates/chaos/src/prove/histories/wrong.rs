//! Hand-made wrong histories.  placeholder sentence.
