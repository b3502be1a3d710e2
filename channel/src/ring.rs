//! The reader of a BPF ring buffer: see the Linux backing.
