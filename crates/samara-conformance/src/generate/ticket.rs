use data_encoding::BASE32_NOPAD;

use super::{List, no_params, tlv, v};
use crate::Codec;

const ROOT: [u8; 32] = [0x5a; 32];
const PEER: [u8; 32] = [0x22; 32];

/// The text of a ticket with these fields and a checksum that fits.
fn ticket(fields: &[u8]) -> String {
    sealed(fields.len() as u64, fields)
}

fn sealed(len: u64, fields: &[u8]) -> String {
    let body = [v(len), fields.to_vec()].concat();
    let sum = samara_tree::hash(&[b"samara1".as_slice(), &body].concat());
    let sum: Vec<u8> = sum.as_bytes().iter().take(4).copied().collect();
    format!("samara1{}", BASE32_NOPAD.encode(&[body, sum].concat()).to_ascii_lowercase())
}

/// The two fields that have to be there, and others in their places.
fn fields(others: &[(u64, &[u8])]) -> Vec<u8> {
    let mut all = vec![(0, ROOT.as_slice()), (2, [0].as_slice())];
    all.retain(|(tlv_type, _)| others.iter().all(|(other, _)| other != tlv_type));
    all.extend(others);
    all.sort_by_key(|(tlv_type, _)| *tlv_type);
    all.into_iter().flat_map(|(tlv_type, value)| tlv(tlv_type, value)).collect()
}

/// Length of the fields of the longest ticket. Unit: bytes.
const LONGEST: usize = 2549;

/// A ticket whose fields have this length, made up by one that is skipped.
fn long_ticket(len: usize) -> String {
    let rest = len - fields(&[]).len() - 3;
    ticket(&fields(&[(7, &vec![0x5a; rest])]))
}

fn provider(peer: [u8; 32], tlvs: &[u8]) -> Vec<u8> {
    [v(32 + tlvs.len() as u64), peer.to_vec(), tlvs.to_vec()].concat()
}

fn v4(last: u8, port: u16) -> Vec<u8> {
    [&[192, 0, 2, last], port.to_be_bytes().as_slice()].concat()
}

fn v6(last: u8, port: u16) -> Vec<u8> {
    let mut address = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last].to_vec();
    address.extend(port.to_be_bytes());
    address
}

pub(super) fn list() -> List {
    let about = "What people paste, in UTF-8.";
    let mut list = List::new("ticket", Codec::Ticket, "rfcs/0001-architecture.md", about);
    let none = no_params();
    let plain = ticket(&fields(&[]));
    let mut valid = |comment: &str, others: &[(u64, &[u8])]| {
        list.valid(comment, &none, ticket(&fields(others)).as_bytes(), Some("TICKET-1"));
    };
    valid("root and format alone", &[]);
    valid("a collection", &[(2, &[1])]);
    valid("size 0", &[(1, &[0])]);
    valid("the largest size", &[(1, &v((1 << 62) - 1))]);
    valid("a name", &[(3, b"photo.jpg")]);
    valid("a name that is not UTF-8", &[(3, &[0xff])]);
    valid("a name of 255 bytes", &[(3, &[b'n'; 255])]);
    valid("a secret of 16 bytes", &[(4, &[9; 16])]);
    valid("a secret of 32 bytes", &[(4, &[9; 32])]);
    valid("a provider without addresses", &[(5, &provider(PEER, &[]))]);
    valid("a provider with an IPv4 address", &[(5, &provider(PEER, &tlv(1, &v4(1, 4433))))]);
    valid("a provider with an IPv6 address", &[(5, &provider(PEER, &tlv(3, &v6(1, 4433))))]);
    let both = [
        tlv(1, &[v4(1, 1), v4(1, 2), v4(2, 1)].concat()),
        tlv(3, &v6(1, 1)),
        tlv(5, b"https://relay.example"),
    ];
    valid("a provider with all there is", &[(5, &provider(PEER, &both.concat()))]);
    let eight: Vec<u8> = (1..=8).flat_map(|last| v4(last, 1)).collect();
    valid("a provider with 8 addresses", &[(5, &provider(PEER, &tlv(1, &eight)))]);
    let providers: Vec<u8> = (1..=8).flat_map(|peer| provider([peer; 32], &[])).collect();
    valid("8 providers", &[(5, &providers)]);
    let turned = [provider([9; 32], &[]), provider([8; 32], &[])].concat();
    valid("providers in the order in which to try", &[(5, &turned)]);

    ipv6(&mut list);

    let name = ticket(&fields(&[(3, b"a")]));
    let split = |every: usize, with: &str| {
        let letters: Vec<char> = name.chars().collect();
        let lines: Vec<String> = letters.chunks(every).map(|line| line.iter().collect()).collect();
        lines.join(with)
    };
    for (comment, text) in [
        ("in capitals", name.to_ascii_uppercase()),
        ("with a capital at its start", format!("S{}", name.get(1..).unwrap_or_default())),
        ("with line breaks", split(20, "\n")),
        ("with line breaks of Windows", split(20, "\r\n")),
        ("with blanks in groups of four", split(4, " ")),
        ("with zero-width spaces", split(7, "\u{200b}")),
        ("with soft hyphens", split(7, "\u{ad}")),
        ("with no-break spaces", split(9, "\u{a0}")),
        ("behind a byte order mark", format!("\u{feff}{name}")),
        ("in quotes", format!("\"{name}\"")),
        ("in curly quotes", format!("\u{201c}{name}\u{201d}")),
        ("in angle brackets", format!("<{name}>")),
        ("in brackets, with a full stop", format!("({name}).")),
        ("between blank lines", format!("\n\n{name}\n\n")),
    ] {
        list.must_ignore(comment, &none, text.as_bytes(), "TICKET-2");
    }
    let long = long_ticket(LONGEST);
    list.must_ignore("4,095 characters", &none, long.as_bytes(), "TICKET-4");
    for (comment, text) in [
        ("4,095 characters in quotes and brackets, which do not count", format!("(\"{long}\").")),
        ("4,095 characters with blanks, which do not count", long.replace('q', " q\n")),
    ] {
        list.must_ignore(comment, &none, text.as_bytes(), "TICKET-4");
    }
    let odd = ticket(&fields(&[(7, b"later")]));
    list.must_ignore("a field of an odd type", &none, odd.as_bytes(), "TICKET-7");
    let odd = ticket(&fields(&[(5, &provider(PEER, &tlv(7, b"later")))]));
    list.must_ignore("a provider's field of an odd type", &none, odd.as_bytes(), "TICKET-7");

    let mut bad = |req: &str, comment: &str, text: &str| {
        list.invalid(req, comment, &none, text.as_bytes());
    };
    for digit in ['0', '2', '5', '9'] {
        let text = format!("samara{digit}{}", plain.get(7..).unwrap_or_default());
        let req = if digit == '0' { "TICKET-10" } else { "TICKET-3" };
        bad(req, &format!("version {digit}"), &text);
    }
    bad("TICKET-10", "nothing", "");
    bad("TICKET-10", "blanks", " \n ");
    bad("TICKET-10", "another prefix", &plain.replace("samara1", "sahara1"));
    bad("TICKET-10", "a blob id", &"5a".repeat(32));
    bad("TICKET-10", "a letter that base 32 does not have", &plain.replacen('a', "1", 5));
    bad("TICKET-10", "a letter beyond ASCII", &format!("{plain}\u{e9}"));
    bad("TICKET-4", "4,097 characters", &format!("samara1{}", "a".repeat(4090)));
    bad(
        "TICKET-10",
        "a quote within it",
        &format!("samara1\"{}", plain.get(7..).unwrap_or_default()),
    );
    bad("TICKET-4", "4,097 characters with a sound checksum", &long_ticket(LONGEST + 1));
    bad("TICKET-4", "4,097 characters in quotes", &format!("\"{}\"", long_ticket(LONGEST + 1)));
    for at in (7..plain.len()).step_by(5) {
        let mut text: Vec<char> = plain.chars().collect();
        if let Some(letter) = text.get_mut(at) {
            *letter = if *letter == 'q' { 'p' } else { 'q' };
        }
        let req = if at < 11 { "TICKET-6" } else { "TICKET-5" };
        bad(req, &format!("letter {at} is another"), &text.into_iter().collect::<String>());
    }
    for len in [7, 8, 12, plain.len() / 2, plain.len() - 1] {
        let cut = plain.get(..len).unwrap_or_default();
        bad("TICKET-6", &format!("cut after {len} letters"), cut);
    }
    bad("TICKET-6", "a letter too many", &format!("{plain}a"));
    bad("TICKET-6", "a word behind it", &format!("{plain}hello"));
    bad("TICKET-6", "the ticket twice", &format!("{plain}{plain}"));
    let others: &[(&str, &str, Vec<u8>)] = &[
        ("TICKET-7", "a field of an even type", fields(&[(6, b"")])),
        (
            "TICKET-7",
            "a provider's field of an even type",
            fields(&[(5, &provider(PEER, &tlv(2, b"")))]),
        ),
        ("TICKET-8", "no root", tlv(2, &[0])),
        ("TICKET-8", "no format", tlv(0, &ROOT)),
        ("TICKET-8", "no field", Vec::new()),
        ("TICKET-8", "a root of 31 bytes", fields(&[(0, &[1; 31])])),
        ("TICKET-8", "a root of 33 bytes", fields(&[(0, &[1; 33])])),
        ("TICKET-8", "format 2", fields(&[(2, &[2])])),
        ("TICKET-8", "a format with a byte too many", fields(&[(2, &[0, 0])])),
        ("TICKET-8", "an empty format", fields(&[(2, &[])])),
        ("TICKET-8", "a size that is not minimal", fields(&[(1, &[0x40, 1])])),
        ("TICKET-8", "a size with a byte too many", fields(&[(1, &[1, 0])])),
        ("TICKET-8", "an empty name", fields(&[(3, b"")])),
        ("TICKET-8", "a name of 256 bytes", fields(&[(3, &[b'n'; 256])])),
        ("TICKET-8", "a secret of 15 bytes", fields(&[(4, &[9; 15])])),
        ("TICKET-8", "a secret of 33 bytes", fields(&[(4, &[9; 33])])),
        ("TICKET-8", "providers, but none", fields(&[(5, b"")])),
        (
            "TICKET-8",
            "9 providers",
            fields(&[(5, &(1..=9).flat_map(|peer| provider([peer; 32], &[])).collect::<Vec<_>>())]),
        ),
        (
            "TICKET-8",
            "a peer twice",
            fields(&[(5, &[provider(PEER, &[]), provider(PEER, &[])].concat())]),
        ),
        ("TICKET-8", "a provider of 31 bytes", fields(&[(5, &[vec![31], vec![1; 31]].concat())])),
        ("TICKET-8", "a provider that is cut", fields(&[(5, &[vec![40], vec![1; 33]].concat())])),
        ("TICKET-8", "an address of 5 bytes", fields(&[(5, &provider(PEER, &tlv(1, &[1; 5])))])),
        ("TICKET-8", "addresses, but none", fields(&[(5, &provider(PEER, &tlv(1, &[])))])),
        (
            "TICKET-8",
            "addresses that descend",
            fields(&[(5, &provider(PEER, &tlv(1, &[v4(2, 1), v4(1, 1)].concat())))]),
        ),
        (
            "TICKET-8",
            "ports that descend",
            fields(&[(5, &provider(PEER, &tlv(1, &[v4(1, 2), v4(1, 1)].concat())))]),
        ),
        (
            "TICKET-8",
            "an address twice",
            fields(&[(5, &provider(PEER, &tlv(1, &[v4(1, 1), v4(1, 1)].concat())))]),
        ),
        (
            "TICKET-8",
            "9 addresses",
            fields(&[(
                5,
                &provider(PEER, &tlv(1, &(1..=9).flat_map(|last| v4(last, 1)).collect::<Vec<_>>())),
            )]),
        ),
        (
            "TICKET-8",
            "5 and 4 addresses",
            fields(&[(
                5,
                &provider(
                    PEER,
                    &[
                        tlv(1, &(1..=5).flat_map(|last| v4(last, 1)).collect::<Vec<_>>()),
                        tlv(3, &(1..=4).flat_map(|last| v6(last, 1)).collect::<Vec<_>>()),
                    ]
                    .concat(),
                ),
            )]),
        ),
        (
            "TICKET-8",
            "an IPv6 address that stands for an IPv4 address",
            fields(&[(
                5,
                &provider(
                    PEER,
                    &tlv(3, &[&[0; 10][..], &[0xff, 0xff, 192, 0, 2, 1, 0, 1]].concat()),
                ),
            )]),
        ),
        (
            "TICKET-8",
            "the IPv6 address ::ffff:0.0.0.0",
            fields(&[(5, &provider(PEER, &tlv(3, &socket(&MAPPED))))]),
        ),
        (
            "TICKET-11",
            "port 0 of an IPv4 address",
            fields(&[(5, &provider(PEER, &tlv(1, &v4(1, 0))))]),
        ),
        (
            "TICKET-11",
            "port 0 of an IPv6 address",
            fields(&[(5, &provider(PEER, &tlv(3, &v6(1, 0))))]),
        ),
        (
            "TICKET-11",
            "port 0 beside another port",
            fields(&[(5, &provider(PEER, &tlv(1, &[v4(1, 0), v4(1, 1)].concat())))]),
        ),
        ("TICKET-8", "an empty relay", fields(&[(5, &provider(PEER, &tlv(5, b"")))])),
        (
            "TICKET-8",
            "a relay of 256 bytes",
            fields(&[(5, &provider(PEER, &tlv(5, &[b'r'; 256])))]),
        ),
        (
            "TICKET-8",
            "a relay with a blank",
            fields(&[(5, &provider(PEER, &tlv(5, b"https://a b")))]),
        ),
        (
            "TICKET-8",
            "a relay with a control character",
            fields(&[(5, &provider(PEER, &tlv(5, b"https://a\x07")))]),
        ),
        (
            "TICKET-8",
            "a relay that is not UTF-8",
            fields(&[(5, &provider(PEER, &tlv(5, &[0xff])))]),
        ),
        ("TICKET-8", "fields that descend", [tlv(2, &[0]), tlv(0, &ROOT)].concat()),
        ("TICKET-8", "a field twice", [tlv(0, &ROOT), tlv(2, &[0]), tlv(2, &[0])].concat()),
        ("TICKET-8", "a field that is cut", [fields(&[]), vec![3, 9, b'a']].concat()),
    ];
    for (req, comment, fields) in others {
        bad(req, comment, &ticket(fields));
    }
    list
}

/// `::ffff:0.0.0.0`
const MAPPED: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];

/// An IPv6 address at port 4433.
fn socket(ip: &[u8; 16]) -> Vec<u8> {
    [ip.as_slice(), &4433_u16.to_be_bytes()].concat()
}

/// Forms of IPv6 addresses that have an IPv4 address in them or a meaning of their own.
fn ipv6(list: &mut List) {
    let cases: [(&str, [u8; 16]); 7] = [
        ("::, which is nobody's", [0; 16]),
        ("::1", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ("::192.0.2.1, which is IPv6", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1]),
        ("64:ff9b::192.0.2.1", [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1]),
        ("::fffe:192.0.2.1", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 192, 0, 2, 1]),
        ("fe80::1", [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ("ff02::1", [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    ];
    let mut all = Vec::new();
    let mut valid = |comment: &str, addresses: &[u8]| {
        let text = ticket(&fields(&[(5, &provider(PEER, &tlv(3, addresses)))]));
        list.valid(comment, &no_params(), text.as_bytes(), Some("TICKET-8"));
    };
    for (comment, ip) in cases {
        valid(&format!("the IPv6 address {comment}"), &socket(&ip));
        all.push(ip);
    }
    all.sort_unstable();
    let all: Vec<u8> = all.iter().flat_map(socket).collect();
    valid("all of these IPv6 addresses", &all);
}
