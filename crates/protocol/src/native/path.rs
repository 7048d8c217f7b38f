//! The path of a vendor's own API. Owns the rule that gateway and vendor read the same: what could be read in two ways
//! is refused. Never resolves anything.

/// The longest path, and the most segments, that are taken.
const LONGEST: usize = 1024;

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Too long.
    #[error("the path is longer than {LONGEST} bytes")]
    TooLong,
    /// A segment that is empty, `.` or `..`.
    #[error("the path holds an empty segment, `.` or `..`: write it without")]
    Segment,
    /// An escape that is none, or of a byte that changes how the path is read.
    #[error("the path holds an escape that is none, or that stands for `/`, `\\`, `%` or a control character")]
    Escape,
    /// A byte that needs an escape.
    #[error("the path holds a character that must be escaped")]
    Byte,
}

/// A path below `/v1` that is read in one way only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativePath {
    raw: String,
    decoded: String,
}

impl NativePath {
    /// Takes the part of a path that follows `/v1`; it begins with a slash.
    ///
    /// # Errors
    /// Where vendor and gateway could read it differently.
    pub fn parse(raw: &str) -> Result<Self, PathError> {
        if raw.len() > LONGEST {
            return Err(PathError::TooLong);
        }
        let decoded = decode(raw)?;
        let segments = decoded.strip_prefix('/').ok_or(PathError::Segment)?;
        // A slash at the end means nothing, so it is not let through as another spelling.
        if segments.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(PathError::Segment);
        }
        Ok(Self { raw: raw.to_owned(), decoded })
    }

    /// The path of live sessions.
    #[must_use]
    pub fn realtime() -> Self {
        Self { raw: "/realtime".to_owned(), decoded: "/realtime".to_owned() }
    }

    /// The path without as many of its first segments as `base` ends with: what a caller repeats of the address that the
    /// path is below. `None` where nothing would be left.
    #[must_use]
    pub fn below(&self, base: &str) -> Option<Self> {
        let base: Vec<&str> = base.split('/').filter(|segment| !segment.is_empty()).collect();
        let own: Vec<&str> = self.raw.split('/').skip(1).collect();
        let repeated = (1..=base.len().min(own.len())).rev().find(|count| {
            let ends = base.get(base.len().saturating_sub(*count)..);
            ends.is_some() && ends == own.get(..*count)
        });
        let rest = own.get(repeated.unwrap_or(0)..).filter(|rest| !rest.is_empty())?;
        Self::parse(&format!("/{}", rest.join("/"))).ok()
    }

    /// As it came.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// With every escape resolved: what policies see.
    #[must_use]
    pub fn decoded(&self) -> &str {
        &self.decoded
    }

    /// Whether it administers the account at the vendor: its members, projects, keys and bills. So does what hands out
    /// keys for live sessions, by which their holder gets past the gateway.
    #[must_use]
    pub fn is_administration(&self) -> bool {
        let mut segments = self.decoded.trim_start_matches('/').split('/');
        let first = segments.next().unwrap_or_default();
        let live = first.eq_ignore_ascii_case("realtime");
        live || ["organization", "organizations", "admin", "dashboard"]
            .iter()
            .any(|name| first.eq_ignore_ascii_case(name))
    }
}

fn decode(raw: &str) -> Result<String, PathError> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        let plain = byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte);
        let byte = match byte {
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
                    return Err(PathError::Escape);
                };
                let byte = u8::try_from(high * 16 + low).map_err(|_| PathError::Escape)?;
                if matches!(byte, b'/' | b'\\' | b'%' | b'?' | b'#') || byte.is_ascii_control() {
                    return Err(PathError::Escape);
                }
                byte
            }
            _ if plain => byte,
            _ => return Err(PathError::Byte),
        };
        out.push(byte);
    }
    String::from_utf8(out).map_err(|_| PathError::Escape)
}
