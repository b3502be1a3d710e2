//! Download of one list from one server, within bounds.

use crate::folder::{Folder, NewCopy};
use anyhow::{Context, Result, ensure};
use rustls::crypto::ring::default_provider;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::{Duration, Instant};
use store::lists::{CopyHead, FetchFailure, FetchFailureKind};
use ureq::http::{HeaderMap, StatusCode};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

/// Bounds of the download of one list.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of the list as sent, at most.
    pub bytes: u64,
    /// Time from resolving the host's name to the last byte, at most.
    pub time: Duration,
    /// Number of redirects, at most.
    pub redirects: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            time: Duration::from_secs(120),
            redirects: 5,
        }
    }
}

/// Longest header of a response, and longest value of it that is kept, in bytes.
const LONGEST_HEADER: usize = 64 << 10;
const LONGEST_VALUE: usize = 1 << 10;

/// Downloader of lists by HTTPS.
pub struct Downloader {
    agent: Agent,
    bounds: Bounds,
}

impl Downloader {
    /// Makes a downloader that trusts the root certificates in this file.
    ///
    /// # Errors
    /// Fails if the file can't be read or has no certificates.
    pub fn with_roots(roots: &Path, bounds: Bounds) -> Result<Self> {
        // Another one was there before: as good.
        let _installed = default_provider().install_default();
        let text = fs::read(roots).with_context(|| {
            format!(
                "can't read the certificates of who may vouch for a server, {}: install ca-certificates",
                roots.display()
            )
        })?;
        let certificates: Vec<_> = parse_pem(&text)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        ensure!(
            !certificates.is_empty(),
            "{} holds no certificate: nobody can vouch for a server",
            roots.display()
        );
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from(certificates))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .https_only(true)
            .max_redirects(bounds.redirects)
            .http_status_as_error(false)
            .timeout_global(Some(bounds.time))
            .max_response_header_size(LONGEST_HEADER)
            .max_idle_connections(0)
            .user_agent(concat!("gatebell-fetch/", env!("CARGO_PKG_VERSION")))
            .accept("*/*")
            // Whoever packs it all the same sends what the service unpacks, within bounds of its own.
            .accept_encoding("identity")
            .build();
        Ok(Self {
            agent: config.new_agent(),
            bounds,
        })
    }

    /// Fetches the list at this URL. Returns a new copy, in this folder and without a name yet, or `None` if the last
    /// one is the newest.
    ///
    /// # Errors
    /// Fails if no copy can be had, and says why.
    pub fn fetch(
        &self,
        url: &str,
        before: Option<&CopyHead>,
        now: u64,
        folder: &Folder,
    ) -> Result<Option<NewCopy>, FetchFailure> {
        let end = Instant::now() + self.bounds.time;
        let mut request = self.agent.get(url);
        if let Some(etag) = before.and_then(|head| head.etag.as_ref()) {
            request = request.header("If-None-Match", etag);
        }
        if let Some(changed) = before.and_then(|head| head.last_modified.as_ref()) {
            request = request.header("If-Modified-Since", changed);
        }
        let mut response = request.call().map_err(|error| self.said(&error))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if before.is_some() => return Ok(None),
            other => return Err(FetchFailureKind::Status.with(other.to_string())),
        }
        if !says_its_end(response.headers()) {
            return Err(FetchFailureKind::NoEnd.alone());
        }
        let head = CopyHead {
            url: url.to_owned(),
            fetched: now,
            etag: value(response.headers(), "etag"),
            last_modified: value(response.headers(), "last-modified"),
        };
        let copy = folder
            .begin(&head)
            .map_err(|error| unwritten(&format!("{error:#}")))?;
        self.read(response.body_mut(), copy, end).map(Some)
    }

    fn read(
        &self,
        body: &mut Body,
        mut copy: NewCopy,
        end: Instant,
    ) -> Result<NewCopy, FetchFailure> {
        let mut reader = body.as_reader();
        let mut part = vec![0; 64 << 10];
        loop {
            let read = match reader.read(&mut part) {
                Ok(0) => return Ok(copy),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.said(&error.into())),
            };
            copy.append(part.get(..read).unwrap_or_default())
                .map_err(|error| unwritten(&error.to_string()))?;
            if copy.bytes() > self.bounds.bytes {
                let most = format!("{} MiB", self.bounds.bytes >> 20);
                return Err(FetchFailureKind::TooLong.with(most));
            }
            if Instant::now() > end {
                return Err(self.too_slow());
            }
        }
    }

    fn too_slow(&self) -> FetchFailure {
        FetchFailureKind::TooSlow.with(format!("{} s", self.bounds.time.as_secs()))
    }

    /// Returns what went wrong.
    fn said(&self, error: &ureq::Error) -> FetchFailure {
        match error {
            ureq::Error::Timeout(_) => self.too_slow(),
            ureq::Error::HostNotFound => FetchFailureKind::UnknownHost.alone(),
            ureq::Error::TooManyRedirects => {
                FetchFailureKind::Redirects.with(self.bounds.redirects.to_string())
            }
            ureq::Error::RequireHttpsOnly(_) => FetchFailureKind::WithoutTls.alone(),
            ureq::Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
                FetchFailureKind::CutOff.alone()
            }
            other => FetchFailureKind::Other.with(other.to_string()),
        }
    }
}

fn unwritten(why: &str) -> FetchFailure {
    FetchFailureKind::NotWritten.with(why)
}

/// Returns whether the response marks its own end, and does not end with the connection alone.
fn says_its_end(headers: &HeaderMap) -> bool {
    let encoding = headers.get("transfer-encoding");
    headers.contains_key("content-length")
        || encoding.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

/// Returns a value of the header that can be sent back to the server, unless it is too long.
fn value(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (value.len() <= LONGEST_VALUE).then(|| value.to_owned())
}
