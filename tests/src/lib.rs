//! Helpers of the tests on real kernels.

pub mod wine;
