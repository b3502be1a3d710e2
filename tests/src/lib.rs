//! Helpers of the tests on real kernels.
