//! Helpers of the tests on real kernels.

pub mod image;
pub mod wine;
