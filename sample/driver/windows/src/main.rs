//! Image of the article's driver for Windows, `\\.\GatebellSample`. Its code is in `driver`, which a model of the
//! kernel runs too.
#![no_std]
#![no_main]

mod driver;

channel::wdm_driver!(driver::Sample);
