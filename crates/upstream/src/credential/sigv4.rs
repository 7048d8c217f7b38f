//! AWS Signature Version 4: a request that is otherwise ready to leave gets a signature over itself.
//!
//! Pure: the time is an argument. Signs whole bodies only. The secret never leaves the key that is derived from it.
//! Called by `aws`.

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use tidegate_core::{clock::UnixMillis, ids::Digest, secret::Secret};

use super::CredentialError;

/// The only algorithm of this version.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Keys of AWS, as they sign.
#[derive(Debug, Clone)]
pub struct AwsKeys {
    /// The access key's id, which is no secret.
    pub id: String,
    /// The secret access key.
    pub secret: Secret,
    /// The session token of keys that expire.
    pub session: Option<Secret>,
}

/// What a signature holds for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) at: UnixMillis,
}

/// Signs `request`: sets its date, its session token and its authorization.
pub(super) fn sign(request: &mut Request<Bytes>, keys: &AwsKeys, scope: Scope<'_>) -> Result<(), CredentialError> {
    let (date, time) = stamp(scope.at)?;
    let put = |headers: &mut HeaderMap, name: &'static str, text: &str, secret: bool| {
        let mut value = HeaderValue::from_str(text).map_err(|_| CredentialError::Invalid)?;
        value.set_sensitive(secret);
        headers.insert(HeaderName::from_static(name), value);
        Ok(())
    };
    request.headers_mut().remove(header::AUTHORIZATION);
    put(request.headers_mut(), "x-amz-date", &time, false)?;
    match &keys.session {
        Some(token) => put(request.headers_mut(), "x-amz-security-token", token.expose(), true)?,
        None => drop(request.headers_mut().remove("x-amz-security-token")),
    }
    let (canonical, signed) = canonical(request)?;
    let within = format!("{date}/{}/{}/aws4_request", scope.region, scope.service);
    let text = format!("{ALGORITHM}\n{time}\n{within}\n{}", Digest::of(canonical.as_bytes()));
    let key = [&*date, scope.region, scope.service, "aws4_request"]
        .iter()
        .fold(format!("AWS4{}", keys.secret.expose()).into_bytes(), |key, part| mac(&key, part.as_bytes()));
    let signature = hex(&mac(&key, text.as_bytes()));
    let authorization =
        format!("{ALGORITHM} Credential={}/{within}, SignedHeaders={signed}, Signature={signature}", keys.id);
    put(request.headers_mut(), "authorization", &authorization, true)
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Day and moment as ISO 8601 in its short form, in UTC.
fn stamp(at: UnixMillis) -> Result<(String, String), CredentialError> {
    let millis = i64::try_from(at.0).map_err(|_| CredentialError::Invalid)?;
    let moment = jiff::Timestamp::from_millisecond(millis).map_err(|_| CredentialError::Invalid)?;
    Ok((moment.strftime("%Y%m%d").to_string(), moment.strftime("%Y%m%dT%H%M%SZ").to_string()))
}

/// What is signed of a request, and the names of its headers that are.
fn canonical(request: &Request<Bytes>) -> Result<(String, String), CredentialError> {
    let mut headers: Vec<(String, String)> = vec![("host".to_owned(), host(request.uri()))];
    for name in request.headers().keys() {
        let name = name.as_str();
        if name == "content-type" || name.starts_with("x-amz-") {
            let values = request.headers().get_all(name).iter().map(|value| value.to_str().map(squeezed));
            let values = values.collect::<Result<Vec<_>, _>>().map_err(|_| CredentialError::Invalid)?;
            headers.push((name.to_owned(), values.join(",")));
        }
    }
    headers.sort();
    let signed = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let text = format!(
        "{}\n{}\n{}\n{lines}\n{signed}\n{}",
        request.method(),
        path(request.uri()),
        query(request.uri()),
        Digest::of(request.body()),
    );
    Ok((text, signed))
}

/// The header `host` as HTTP/1.1 and HTTP/2 send it: without the scheme's own port.
fn host(uri: &Uri) -> String {
    let name = uri.host().unwrap_or_default();
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    match uri.port_u16().filter(|port| *port != usual) {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    }
}

/// Neither space around it nor more than one between its words.
fn squeezed(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// The path, which is escaped once more: all services but S3 want it so.
fn path(uri: &Uri) -> String {
    let path = uri.path();
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    if out.is_empty() { "/".to_owned() } else { out }
}

/// The members of the query in order, each with its sign.
fn query(uri: &Uri) -> String {
    let query = uri.query().unwrap_or_default();
    let mut members: Vec<(&str, &str)> = query
        .split('&')
        .filter(|member| !member.is_empty())
        .map(|member| member.split_once('=').unwrap_or((member, "")))
        .collect();
    members.sort_unstable();
    members.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests;
