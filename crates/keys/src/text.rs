//! The text around every secret of ours: a prefix, base64url, a checksum.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::Malformed;

/// The length of every prefix.
pub(crate) const PREFIX_LEN: usize = 5;

const CHECK_LEN: usize = 6;

/// Returns how many characters a body of so many bytes gives.
pub(crate) const fn text_len(body_len: usize) -> usize {
    PREFIX_LEN + (body_len * 4).div_ceil(3) + CHECK_LEN
}

/// Writes a body as text.
pub(crate) fn write(prefix: &[u8; PREFIX_LEN], body: &[u8]) -> SecretString {
    let mut text = String::with_capacity(text_len(body.len()));
    text.extend(prefix.iter().copied().map(char::from));
    URL_SAFE_NO_PAD.encode_string(body, &mut text);
    let check = checksum(text.as_bytes());
    text.extend(check.map(char::from));
    SecretString::from(text)
}

/// Reads the body out of a text, which must be the one that [`write()`] gives for it.
pub(crate) fn read(
    prefix: &[u8; PREFIX_LEN],
    text: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    if !text.starts_with(prefix) {
        return Err(Malformed::Prefix);
    }
    let (checked, check) = text.split_last_chunk::<CHECK_LEN>().ok_or(Malformed::Checksum)?;
    if checksum(checked) != *check {
        return Err(Malformed::Checksum);
    }
    let encoded = checked.get(PREFIX_LEN..).ok_or(Malformed::Checksum)?;
    let mut body = Zeroizing::new(vec![0; base64::decoded_len_estimate(encoded.len())]);
    // The engine refuses padding and bits that do not count, so a body has one text.
    let len =
        URL_SAFE_NO_PAD.decode_slice(encoded, &mut body).map_err(|_source| Malformed::Base64)?;
    body.truncate(len);
    Ok(body)
}

/// CRC-32 (IEEE) in six digits of base 62, most significant first.
fn checksum(bytes: &[u8]) -> [u8; CHECK_LEN] {
    let mut rest = crc32fast::hash(bytes);
    let mut digits = [0; CHECK_LEN];
    for digit in digits.iter_mut().rev() {
        let value = (rest % 62) as u8;
        *digit = match value {
            0..=9 => b'0' + value,
            10..=35 => b'A' + (value - 10),
            _ => b'a' + (value - 36),
        };
        rest /= 62;
    }
    digits
}
