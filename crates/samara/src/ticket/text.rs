//! From what somebody pasted to the bytes of a ticket.

use data_encoding::BASE32_NOPAD;
use samara_base::BlobId;
use samara_wire::varint;

use super::{
    CHECKSUM_LEN, PREFIX, TICKET_TEXT_MAX, TicketError,
    encode::{checksum, letters},
};

/// What people and programs put around a ticket.
const AROUND: &[char] = &[
    '"', '\'', '`', '<', '>', '(', ')', '[', ']', '{', '}', '.', ',', ';', ':', '!', '?', '*', '_',
    '\u{2018}', '\u{2019}', '\u{201a}', '\u{201c}', '\u{201d}', '\u{201e}', '\u{ab}', '\u{bb}',
    '\u{2039}', '\u{203a}', '\u{2026}',
];

/// Whether copying text may bring this character along for nothing: blanks, line breaks and what
/// nobody can see.
fn is_blank(letter: char) -> bool {
    // Most letters need no other look.
    !letter.is_ascii_graphic()
        && (letter.is_whitespace()
            || matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'))
}

/// Checks a ticket's text and returns its fields.
pub(super) fn open(text: &str) -> Result<Vec<u8>, TicketError> {
    let (text, before) = trim(text);
    let letters = || {
        text.chars()
            .enumerate()
            .filter(|(_, letter)| !is_blank(*letter))
            .map(|(at, letter)| (before + at + 1, letter))
    };
    //= rfcs/0001-architecture.md#ticket-4
    //# A reader MUST refuse a ticket of more than 4,096 characters, blanks not counted.
    if letters().nth(TICKET_TEXT_MAX).is_some() {
        return Err(TicketError::TooLong);
    }
    //= rfcs/0001-architecture.md#ticket-10
    //# A reader MUST refuse text that does not begin with the prefix, has a character behind it which
    //# is no digit of base 32, or has bits behind its last byte that are not zero.
    let mut rest = letters();
    for expected in PREFIX.chars() {
        match rest.next() {
            None if text.is_empty() => return Err(TicketError::Empty),
            Some((_, letter)) if letter.eq_ignore_ascii_case(&expected) => {}
            //= rfcs/0001-architecture.md#ticket-3
            //# A reader MUST refuse a ticket whose version digit it does not know.
            Some((_, version @ '2'..='9')) if expected == '1' => {
                return Err(TicketError::NewerVersion { version });
            }
            _ => return Err(other_than_a_ticket(text)),
        }
    }
    let mut upper = Vec::new();
    for (position, found) in rest {
        match found {
            'A'..='Z' | 'a'..='z' | '2'..='7' => {
                upper.extend(u8::try_from(found).map(|byte| byte.to_ascii_uppercase()));
            }
            _ => return Err(TicketError::Character { position, found }),
        }
    }
    unseal(&upper)
}

/// Drops blanks and what is put around a ticket; says how many characters were dropped in front.
fn trim(text: &str) -> (&str, usize) {
    let is_around = |letter: char| {
        !letter.is_ascii_alphanumeric() && (is_blank(letter) || AROUND.contains(&letter))
    };
    let from = text.trim_start_matches(is_around);
    let before = text.chars().count() - from.chars().count();
    (from.trim_end_matches(is_around), before)
}

fn other_than_a_ticket(text: &str) -> TicketError {
    match text.parse::<BlobId>() {
        Ok(id) => TicketError::BlobId(id),
        Err(_) => TicketError::NotATicket,
    }
}

/// From letters to fields: length first, since it tells a cut ticket from a wrong one.
fn unseal(upper: &[u8]) -> Result<Vec<u8>, TicketError> {
    // Eight letters are five bytes, more than the length of any ticket takes.
    let missing = 8_usize.saturating_sub(upper.len());
    let head = upper.get(..8).ok_or(TicketError::Truncated { missing })?;
    let head = BASE32_NOPAD.decode(head).map_err(|_| TicketError::Checksum)?;
    let (len, after) = varint::decode(&head).map_err(|_| TicketError::Checksum)?;
    let len_of_len = head.len() - after.len();
    let expected = usize::try_from(len)
        .ok()
        .and_then(|len| len.checked_add(len_of_len + CHECKSUM_LEN))
        .filter(|total| PREFIX.len() + total.saturating_mul(8).div_ceil(5) <= TICKET_TEXT_MAX)
        .map(letters)
        .ok_or(TicketError::Checksum)?;
    //= rfcs/0001-architecture.md#ticket-6
    //# A reader MUST refuse a ticket whose count of letters differs from what its length field
    //# says.
    if upper.len() < expected {
        return Err(TicketError::Truncated { missing: expected - upper.len() });
    }
    if upper.len() > expected {
        return Err(TicketError::Extra { extra: upper.len() - expected });
    }
    // Bits behind the last byte that are not zero are as wrong as a wrong checksum.
    let bytes = BASE32_NOPAD.decode(upper).map_err(|_| TicketError::Checksum)?;
    let (covered, found) = bytes.split_last_chunk().ok_or(TicketError::Checksum)?;
    //= rfcs/0001-architecture.md#ticket-5
    //# A reader MUST refuse a ticket whose checksum does not match.
    if *found != checksum(covered) {
        return Err(TicketError::Checksum);
    }
    Ok(covered.get(len_of_len..).unwrap_or_default().to_vec())
}
