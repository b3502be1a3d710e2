//! The article's driver, for Windows, as an image: `\\.\GatebellSample`. What it does is in `driver`, which a model of the kernel runs too.
#![no_std]
#![no_main]

mod driver;

channel::wdm_driver!(driver::Sample);
