//! Signatures of what a partner sends by itself: HMAC-SHA256 over the time, a point and the body as
//! it came. Compared in constant time; what is too old or from the future is refused.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{Problem, Secret};

/// How far the time of a signature may lie from ours, in seconds.
const TOLERANCE_SECONDS: u64 = 300;

/// The header's value for a body sent at this time, in seconds since 1970: `t=..,v1=..`.
pub fn sign(secret: &Secret, seconds: u64, body: &[u8]) -> String {
    let code = mac(secret, seconds, body).finalize().into_bytes();
    let hex: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

/// Accepts a body that was signed with this secret within the last five minutes. Several `v1` may
/// stand in the header while a secret is being changed.
///
/// # Errors
/// 401 `invalid_signature`, without saying what is wrong with it.
pub fn verify(secret: &Secret, header: Option<&str>, body: &[u8]) -> Result<(), Problem> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match is_signed(secret, header.unwrap_or_default(), body, now) {
        true => Ok(()),
        false => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "invalid_signature",
            "The body is not signed with our secret, or not within the last five minutes.",
        )),
    }
}

fn is_signed(secret: &Secret, header: &str, body: &[u8], now: u64) -> bool {
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let mut times = parts().filter(|(name, _)| *name == "t").map(|(_, value)| value);
    let (Some(time), None) = (times.next(), times.next()) else { return false };
    let Ok(seconds) = time.parse::<u64>() else { return false };
    if secret.expose().is_empty() || now.abs_diff(seconds) > TOLERANCE_SECONDS {
        return false;
    }
    let mac = mac(secret, seconds, body);
    let mut codes = parts().filter(|(name, _)| *name == "v1").filter_map(|(_, value)| unhex(value));
    codes.any(|code| mac.clone().verify_slice(&code).is_ok())
}

fn mac(secret: &Secret, seconds: u64, body: &[u8]) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes());
    let mut mac = mac.expect("a key of HMAC may have any length");
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    mac
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let all = digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit);
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    if all { (0..digits.len()).step_by(2).map(byte).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const BODY: &[u8] = br#"{"id":"e1"}"#;

    fn secret() -> Secret {
        Secret::new("whsec")
    }

    #[test]
    fn the_code_is_the_one_any_library_computes() {
        // printf '1800000000.{"id":"e1"}' | openssl dgst -sha256 -hmac whsec
        let wanted = "e5b956fec4c15e9240a3c4082c6a163ff0d2e77c4828102f04f77ef565408a76";
        assert_eq!(sign(&secret(), NOW, BODY), format!("t=1800000000,v1={wanted}"));
    }

    #[test]
    fn a_signature_counts_for_its_time_its_body_and_its_secret_alone() {
        let good = sign(&secret(), NOW, BODY);
        let code = good.split_once("v1=").unwrap().1.to_owned();
        let other = "00".repeat(32);
        let rotated = format!("t={NOW},v1={other},v1={code}");
        let cases = [
            (good.clone(), BODY, NOW, true),
            (good.clone(), BODY, NOW + 300, true),
            (good.clone(), BODY, NOW - 300, true),
            (good.clone(), BODY, NOW + 301, false),
            (good.clone(), BODY, NOW - 301, false),
            (good.clone(), b"{\"id\":\"e2\"}", NOW, false),
            (good.replace("v1=", "v0="), BODY, NOW, false),
            (good.to_uppercase(), BODY, NOW, false),
            (format!("t={},v1={code}", NOW + 1), BODY, NOW, false),
            (format!("t={NOW},t={NOW},v1={code}"), BODY, NOW, false),
            (format!("t={NOW},v1={}", &code[2..]), BODY, NOW, false),
            (format!("t={NOW},v1={other}"), BODY, NOW, false),
            (format!("t={NOW},v1=é{}", &code[2..]), BODY, NOW, false),
            (format!("v1={code}"), BODY, NOW, false),
            (format!("t=-1,v1={code}"), BODY, NOW, false),
            (String::new(), BODY, NOW, false),
            (rotated, BODY, NOW, true),
        ];
        for (header, body, now, wanted) in cases {
            assert_eq!(is_signed(&secret(), &header, body, now), wanted, "{header} at {now}");
        }
        assert!(!is_signed(&Secret::new("other"), &good, BODY, NOW));
    }

    #[test]
    fn without_a_secret_nothing_is_signed() {
        let nobody = Secret::default();
        assert!(!is_signed(&nobody, &sign(&nobody, NOW, BODY), BODY, NOW));
    }
}
