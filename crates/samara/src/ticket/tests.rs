use core::net::{SocketAddr, SocketAddrV6};

use proptest::prelude::*;
use samara_base::PeerId;
use samara_wire::tlv;

use super::*;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn full() -> Ticket {
    let one = Provider::new(PeerId::from_bytes([7; 32]))
        .with_address(address("[2001:db8::1]:4433"))
        .and_then(|provider| provider.with_address(address("192.0.2.7:4433")))
        .and_then(|provider| provider.with_relay("https://relay.example.org"))
        .unwrap();
    Ticket::new(BlobId::from_bytes([0xab; 32]), Format::Collection)
        .with_size(70_000)
        .and_then(|ticket| ticket.with_name(b"caf\xe9"))
        .and_then(|ticket| ticket.with_secret(Secret::new(&[0x5e; 16])?))
        .and_then(|ticket| ticket.with_provider(one))
        .and_then(|ticket| ticket.with_provider(Provider::new(PeerId::from_bytes([9; 32]))))
        .unwrap()
}

fn parse(text: &str) -> Result<Ticket, TicketError> {
    text.parse()
}

/// A ticket with these fields and a checksum that agrees.
fn forged(fields: &[(u64, &[u8])]) -> String {
    let mut body = Vec::new();
    fields.iter().for_each(|(kind, value)| tlv::encode(*kind, value, &mut body).unwrap());
    forge(&body)
}

const ROOT: (u64, &[u8]) = (field::ROOT, &[1; 32]);
const FORMAT: (u64, &[u8]) = (field::FORMAT, &[0]);

fn with_provider(record: &[u8]) -> String {
    let mut list = Vec::new();
    list.push(u8::try_from(record.len()).unwrap());
    assert!(list[0] < 64, "a one-byte varint");
    list.extend_from_slice(record);
    forged(&[ROOT, FORMAT, (field::PROVIDERS, &list)])
}

/// A block of RFC 0001 by its language, without comments and blanks.
fn example(language: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rfcs/0001-architecture.md");
    let document = std::fs::read_to_string(path).expect("the document lies beside the crates");
    let blocks: Vec<_> = document.split(&format!("```{language}\n")).skip(1).collect();
    assert_eq!(blocks.len(), 1, "each example is tested");
    let lines = blocks[0].split("```").next().unwrap_or_default().lines();
    lines.flat_map(|line| line.split('#').next()).flat_map(str::split_whitespace).collect()
}

//= rfcs/0001-architecture.md#ticket-1
//= type=test
//# A writer MUST encode a ticket in the one form that this section gives.
#[test]
fn the_example_of_the_rfc() {
    let provider = Provider::new(PeerId::from_bytes([0x22; 32]))
        .with_address(address("192.0.2.1:4433"))
        .unwrap();
    let ticket = Ticket::new(samara_tree::hash(b""), Format::Blob)
        .with_size(0)
        .and_then(|ticket| ticket.with_name(b"a"))
        .and_then(|ticket| ticket.with_provider(provider))
        .unwrap();
    let sealed = encode::sealed(&encode::body(&ticket));
    assert_eq!(data_encoding::HEXLOWER.encode(&sealed), example("hex"));
    assert_eq!(ticket.to_string(), example("ticket"));
    assert_eq!(parse(&example("ticket")), Ok(ticket));
}

#[test]
fn a_ticket_comes_back_from_its_text() {
    let ticket = full();
    assert_eq!(parse(&ticket.to_string()), Ok(ticket.clone()));
    assert_eq!(ticket.providers()[0].addresses()[0], address("192.0.2.7:4433"));
    let bare = Ticket::new(BlobId::from_bytes([0; 32]), Format::Blob);
    assert_eq!(parse(&bare.to_string()), Ok(bare));
}

//= rfcs/0001-architecture.md#ticket-2
//= type=test
//# A reader MUST accept a ticket in any mix of ASCII case, with blanks between its characters and
//# with quotes, brackets or punctuation around it.
#[test]
fn what_chats_and_mails_do_to_text_is_forgiven() {
    let ticket = full();
    let text = ticket.to_string();
    let quoted = text.as_bytes().chunks(72).map(|line| str::from_utf8(line).unwrap());
    let wrapped = quoted.collect::<Vec<_>>().join("\r\n  ");
    for mangled in [
        text.to_uppercase(),
        wrapped,
        format!("\u{feff}\u{201c}{text}\u{201d},\n"),
        format!("(<{text}>)."),
        format!("`{}\u{200b}{}`", &text[..30], &text[30..]),
        text.chars().map(|letter| format!("{letter}\u{a0}")).collect(),
    ] {
        assert_eq!(parse(&mangled), Ok(ticket.clone()), "{mangled}");
    }
}

//= rfcs/0001-architecture.md#ticket-10
//= type=test
//# A reader MUST refuse text that does not begin with the prefix, has a character behind it which
//# is no digit of base 32, or has bits behind its last byte that are not zero.
#[test]
fn each_way_to_mangle_a_ticket_has_its_own_answer() {
    let text = full().to_string();
    let id = BlobId::from_bytes([0xcd; 32]);
    for (mangled, expected) in [
        (String::new(), TicketError::Empty),
        (" \n\"\" ".into(), TicketError::Empty),
        ("hello".into(), TicketError::NotATicket),
        ("samara".into(), TicketError::NotATicket),
        (text[1..].into(), TicketError::NotATicket),
        (text.replacen("samara1", "samara0", 1), TicketError::NotATicket),
        (format!(" {id}\n"), TicketError::BlobId(id)),
        (id.to_string().to_uppercase(), TicketError::BlobId(id)),
        ("samara1".into(), TicketError::Truncated { missing: 8 }),
        (text[..14].into(), TicketError::Truncated { missing: 1 }),
        (text[..text.len() - 3].into(), TicketError::Truncated { missing: 3 }),
        (format!("{text} hello"), TicketError::Extra { extra: 5 }),
        (format!("{text}{text}"), TicketError::Character { position: text.len() + 7, found: '1' }),
        (
            format!("  {}0{}", &text[..9], &text[10..]),
            TicketError::Character { position: 12, found: '0' },
        ),
        (
            format!("{}é{}", &text[..9], &text[10..]),
            TicketError::Character { position: 10, found: 'é' },
        ),
    ] {
        assert_eq!(parse(&mangled), Err(expected), "{mangled}");
    }
}

//= rfcs/0001-architecture.md#ticket-3
//= type=test
//# A reader MUST refuse a ticket whose version digit it does not know.
#[test]
fn a_newer_version_says_so() {
    for version in '2'..='9' {
        let text = full().to_string().replacen('1', &version.to_string(), 1);
        assert_eq!(parse(&text), Err(TicketError::NewerVersion { version }));
    }
    let message = TicketError::NewerVersion { version: '2' }.to_string();
    assert!(message.contains("newer version") && message.contains("update"), "{message}");
}

//= rfcs/0001-architecture.md#ticket-4
//= type=test
//# A reader MUST refuse a ticket of more than 4,096 characters, blanks not counted.
#[test]
fn the_length_limit_at_both_sides() {
    // Unknown odd fields fill the ticket up to the limit exactly.
    let filled = |len: usize| forged(&[ROOT, FORMAT, (7, &vec![0; len])]);
    let longest = (2_400..2_600).rev().find(|len| filled(*len).len() <= TICKET_TEXT_MAX).unwrap();
    let text = filled(longest);
    assert!(text.len() > TICKET_TEXT_MAX - 2, "{}", text.len());
    assert!(parse(&text).is_ok());
    let spaced: String = text.chars().flat_map(|letter| [letter, ' ']).collect();
    assert!(parse(&spaced).is_ok());
    assert_eq!(parse(&filled(longest + 1)), Err(TicketError::TooLong));
    // What stands around it does not count.
    assert_eq!(parse(&format!("\"{text}\".")), parse(&text));
    assert_eq!(parse(&"a".repeat(1 << 20)), Err(TicketError::TooLong));
    assert_eq!(parse(&"a".repeat(TICKET_TEXT_MAX)), Err(TicketError::NotATicket));
}

//= rfcs/0001-architecture.md#ticket-7
//= type=test
//# A reader MUST refuse a ticket that has a field of an even type that it does not know.
#[test]
fn fields_of_later_versions() {
    let known = parse(&forged(&[ROOT, FORMAT])).unwrap();
    assert_eq!(parse(&forged(&[ROOT, FORMAT, (7, b"x"), (9, b"")])), Ok(known));
    let refused = Err(TicketError::UnknownField { kind: 6 });
    assert_eq!(parse(&forged(&[ROOT, FORMAT, (6, b"x")])), refused);

    let provider = |kind: u8| with_provider(&[&[5; 32][..], &[kind, 0]].concat());
    assert_eq!(parse(&provider(7)).unwrap().providers().len(), 1);
    assert_eq!(parse(&provider(2)), Err(TicketError::UnknownField { kind: 2 }));
}

//= rfcs/0001-architecture.md#ticket-8
//= type=test
//# A reader MUST refuse a ticket that lacks its root or its format, or has a field that the table
//# does not allow.
#[test]
fn faulty_writers_are_found_out() {
    let peer: &[u8] = &[5; 32];
    let v4 = |ip: u8| [192, 0, 2, ip, 0x11, 0x51];
    let both = |one: u8, two: u8| [peer, &[1, 12], &v4(one), &v4(two)].concat();
    let mapped = [&[0; 10][..], &[0xff, 0xff, 192, 0, 2, 1, 0x11, 0x51]].concat();
    let twice = [&[32][..], peer, &[32], peer].concat();
    for (text, field) in [
        (forged(&[]), TicketField::Root),
        (forged(&[FORMAT]), TicketField::Root),
        (forged(&[(field::ROOT, &[1; 31]), FORMAT]), TicketField::Root),
        (forged(&[ROOT]), TicketField::Format),
        (forged(&[ROOT, (field::FORMAT, &[2])]), TicketField::Format),
        (forged(&[ROOT, (field::FORMAT, &[0, 0])]), TicketField::Format),
        (forged(&[ROOT, (field::FORMAT, &[0x40, 0])]), TicketField::Format),
        (forged(&[FORMAT, ROOT]), TicketField::Fields),
        (forged(&[ROOT, ROOT, FORMAT]), TicketField::Fields),
        (forged(&[ROOT, (field::SIZE, b""), FORMAT]), TicketField::Size),
        (forged(&[ROOT, FORMAT, (field::NAME, b"")]), TicketField::Name),
        (forged(&[ROOT, FORMAT, (field::NAME, &[b'n'; 256])]), TicketField::Name),
        (forged(&[ROOT, FORMAT, (field::SECRET, &[0; 15])]), TicketField::Secret),
        (forged(&[ROOT, FORMAT, (field::SECRET, &[0; 33])]), TicketField::Secret),
        (forged(&[ROOT, FORMAT, (field::PROVIDERS, b"")]), TicketField::Providers),
        (forged(&[ROOT, FORMAT, (field::PROVIDERS, &[33])]), TicketField::Providers),
        (forged(&[ROOT, FORMAT, (field::PROVIDERS, &twice)]), TicketField::Providers),
        (with_provider(&peer[1..]), TicketField::Providers),
        (with_provider(&[peer, &[1, 0]].concat()), TicketField::Address),
        (with_provider(&[peer, &[1, 5, 1, 2, 3, 4, 5]].concat()), TicketField::Address),
        (with_provider(&both(2, 1)), TicketField::Address),
        (with_provider(&both(1, 1)), TicketField::Address),
        (with_provider(&[peer, &[3, 18], &mapped].concat()), TicketField::Address),
        (with_provider(&[peer, &[5, 0]].concat()), TicketField::Relay),
        (with_provider(&[peer, &[5, 1, 0xff]].concat()), TicketField::Relay),
        (with_provider(&[peer, &[5, 3, b'a', b' ', b'b']].concat()), TicketField::Relay),
    ] {
        assert_eq!(parse(&text), Err(TicketError::Malformed { field }), "{text}");
    }
    assert!(parse(&with_provider(&both(1, 2))).is_ok());
}

#[test]
fn limits_of_making_at_both_sides() {
    let bare = || Ticket::new(BlobId::from_bytes([0; 32]), Format::Blob);
    let peer = |byte: u8| Provider::new(PeerId::from_bytes([byte; 32]));
    assert!(bare().with_size((1 << 62) - 1).is_ok());
    assert_eq!(bare().with_size(1 << 62), Err(TicketBuildError::Size));
    assert!(bare().with_name(&[0xff; 255]).is_ok());
    let refused = Err(TicketBuildError::NameLength { found: 256 });
    assert_eq!(bare().with_name(&[0xff; 256]), refused);
    assert_eq!(bare().with_name(b""), Err(TicketBuildError::NameLength { found: 0 }));
    assert!(Secret::new(&[0; 16]).is_ok() && Secret::new(&[0; 32]).is_ok());
    for found in [0, 15, 33] {
        let refused = Err(TicketBuildError::SecretLength { found });
        assert_eq!(Secret::new(&vec![0; found]), refused);
    }

    let mut ticket = bare();
    for byte in 0..8 {
        ticket = ticket.with_provider(peer(byte)).unwrap();
    }
    let refused = ticket.clone().with_provider(peer(7));
    assert_eq!(refused, Err(TicketBuildError::DuplicateProvider));
    assert_eq!(ticket.with_provider(peer(8)), Err(TicketBuildError::TooManyProviders));

    let mut provider = peer(0);
    for port in 1..=8 {
        provider = provider.with_address(SocketAddr::new([1, 2, 3, 4].into(), port)).unwrap();
    }
    assert_eq!(provider.clone().with_address(address("1.2.3.4:7")), Ok(provider.clone()));
    let refused = provider.with_address(address("1.2.3.4:9"));
    assert_eq!(refused, Err(TicketBuildError::TooManyAddresses));

    assert!(peer(0).with_relay(&"r".repeat(255)).is_ok());
    for url in ["", "a b", "a\n", &"r".repeat(256)] {
        assert_eq!(peer(0).with_relay(url), Err(TicketBuildError::Relay));
    }

    let large = |byte: u8| peer(byte).with_relay(&"r".repeat(255)).unwrap();
    let all = (0..8).try_fold(bare(), |ticket, byte| ticket.with_provider(large(byte)));
    assert_eq!(all.map(|ticket| ticket.to_string().len() <= TICKET_TEXT_MAX), Ok(true));
    let named = (0..8).try_fold(bare(), |ticket, byte| {
        let provider = (1..=8).try_fold(large(byte), |provider, port| {
            provider.with_address(SocketAddr::new([1; 16].into(), port))
        });
        ticket.with_provider(provider?)
    });
    assert!(matches!(named, Err(TicketBuildError::TooLong { found }) if found > TICKET_TEXT_MAX));
}

#[test]
fn addresses_lose_what_means_nothing_elsewhere() {
    let scoped = SocketAddrV6::new([0xfe80, 0, 0, 0, 0, 0, 0, 1].into(), 1, 5, 6);
    let provider = Provider::new(PeerId::from_bytes([0; 32]))
        .with_address(scoped.into())
        .and_then(|provider| provider.with_address(address("[::ffff:192.0.2.1]:2")))
        .unwrap();
    assert_eq!(provider.addresses(), [address("192.0.2.1:2"), address("[fe80::1]:1")]);
}

//= rfcs/0001-architecture.md#ticket-11
//= type=test
//# A reader MUST refuse a ticket that has an address with port 0.
#[test]
fn nobody_is_called_at_port_0() {
    let peer: &[u8] = &[5; 32];
    let with = |port: u8| with_provider(&[peer, &[1, 6, 192, 0, 2, 1, 0, port]].concat());
    assert_eq!(parse(&with(0)), Err(TicketError::Malformed { field: TicketField::Address }));
    assert!(parse(&with(1)).is_ok());
    let provider = Provider::new(PeerId::from_bytes([5; 32]));
    let refused = Err(TicketBuildError::Port);
    assert_eq!(provider.clone().with_address(address("192.0.2.1:0")), refused);
    let made = crate::share::provider(
        provider.peer(),
        &[address("192.0.2.1:0"), address("192.0.2.1:1")],
        None,
    );
    assert_eq!(made.addresses(), [address("192.0.2.1:1")]);
}

#[test]
fn only_mapped_addresses_stand_for_ipv4() {
    let ipv6 = ["[::c000:201]:1", "[::]:1", "[::1]:1", "[64:ff9b::c000:201]:1", "[::fffe:0:0]:1"];
    for text in ipv6 {
        let provider = Provider::new(PeerId::from_bytes([5; 32]));
        let provider = provider.with_address(address(text)).unwrap();
        assert_eq!(provider.addresses(), [address(text)]);
        let ticket = Ticket::new(BlobId::from_bytes([0; 32]), Format::Blob);
        let ticket = ticket.with_provider(provider).unwrap();
        assert_eq!(parse(&ticket.to_string()), Ok(ticket));
    }
}

//= rfcs/0001-architecture.md#ticket-9
//= type=test
//# A program MUST replace what RFC 0004 refuses in a name before it uses the name of a ticket as a
//# file name.
#[test]
fn names_are_made_safe_before_use() {
    let ticket = Ticket::new(BlobId::from_bytes([0; 32]), Format::Blob);
    assert_eq!(ticket.file_name(&Rules::UNIX), None);
    for (name, unix, windows) in [
        (&b"a.jpg"[..], &b"a.jpg"[..], &b"a.jpg"[..]),
        (b"../../.ssh/id", b".._.._.ssh_id", b".._.._.ssh_id"),
        (b"..", b"_..", b"_._"),
        (b".samara-x", b"_.samara-x", b"_.samara-x"),
        (b"a\0\x1b[2J", b"a__[2J", b"a__[2J"),
        (b"C:\\x", b"C:\\x", b"C__x"),
        (b"caf\xe9", b"caf\xe9", b"caf_"),
        ("gpj.\u{202e}exe".as_bytes(), b"gpj._exe", b"gpj._exe"),
    ] {
        let ticket = ticket.clone().with_name(name).unwrap();
        assert_eq!(ticket.raw_name(), Some(name));
        assert_eq!(ticket.file_name(&Rules::UNIX).as_deref(), Some(unix));
        assert_eq!(ticket.file_name(&Rules::WINDOWS).as_deref(), Some(windows));
    }
}

#[test]
fn debug_keeps_the_secret() {
    let text = format!("{:?}", full());
    assert!(text.contains("Secret(16 bytes)") && !text.contains("94"), "{text}");
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    let v4 =
        (any::<[u8; 4]>(), 1..=u16::MAX).prop_map(|(ip, port)| SocketAddr::new(ip.into(), port));
    let v6 =
        (any::<[u8; 16]>(), 1..=u16::MAX).prop_map(|(ip, port)| SocketAddr::new(ip.into(), port));
    prop_oneof![v4, v6]
}

prop_compose! {
    fn any_provider()(
        peer in any::<[u8; 32]>(),
        addresses in prop::collection::vec(any_address(), 0..3),
        relay in prop::option::of("https://[a-z.é]{1,20}"),
    ) -> Provider {
        let provider = addresses
            .into_iter()
            .try_fold(Provider::new(PeerId::from_bytes(peer)), Provider::with_address)
            .unwrap();
        match relay {
            Some(url) => provider.with_relay(&url).unwrap(),
            None => provider,
        }
    }
}

prop_compose! {
    fn any_ticket()(
        root in any::<[u8; 32]>(),
        format in prop_oneof![Just(Format::Blob), Just(Format::Collection)],
        size in prop::option::of(0..1_u64 << 62),
        name in prop::option::of(prop::collection::vec(any::<u8>(), 1..40)),
        secret in prop::option::of(prop::collection::vec(any::<u8>(), SECRET_BYTES)),
        providers in prop::collection::vec(any_provider(), 0..3),
    ) -> Ticket {
        let mut ticket = Ticket::new(BlobId::from_bytes(root), format);
        if let Some(size) = size {
            ticket = ticket.with_size(size).unwrap();
        }
        if let Some(name) = name {
            ticket = ticket.with_name(&name).unwrap();
        }
        if let Some(secret) = secret {
            ticket = ticket.with_secret(Secret::new(&secret).unwrap()).unwrap();
        }
        providers.into_iter().try_fold(ticket, Ticket::with_provider).unwrap()
    }
}

proptest! {
    #[test]
    fn every_ticket_round_trips(ticket in any_ticket()) {
        let text = ticket.to_string();
        prop_assert!(text.len() <= TICKET_TEXT_MAX);
        prop_assert_eq!(text.len(), encode::text_len(encode::body(&ticket).len()));
        prop_assert_eq!(parse(&text), Ok(ticket));
    }

    //= rfcs/0001-architecture.md#ticket-5
    //= type=test
    //# A reader MUST refuse a ticket whose checksum does not match.
    #[test]
    fn any_wrong_letter_is_noticed(
        ticket in any_ticket(),
        at in any::<prop::sample::Index>(),
        letter in "[a-z2-7]",
    ) {
        let text = ticket.to_string();
        let at = at.index(text.len());
        let wrong = format!("{}{letter}{}", &text[..at], &text[at + 1..]);
        prop_assume!(wrong != text);
        prop_assert!(parse(&wrong).is_err());
    }

    #[test]
    fn any_two_swapped_letters_are_noticed(
        ticket in any_ticket(),
        one in any::<prop::sample::Index>(),
        two in any::<prop::sample::Index>(),
    ) {
        let text = ticket.to_string();
        let mut letters: Vec<char> = text.chars().collect();
        letters.swap(one.index(text.len()), two.index(text.len()));
        let wrong: String = letters.into_iter().collect();
        prop_assume!(wrong != text);
        prop_assert!(parse(&wrong).is_err());
    }

    //= rfcs/0001-architecture.md#ticket-6
    //= type=test
    //# A reader MUST refuse a ticket whose count of letters differs from what its length field
    //# says.
    #[test]
    fn any_cut_is_called_a_cut(ticket in any_ticket(), at in any::<prop::sample::Index>()) {
        let text = ticket.to_string();
        let at = PREFIX.len() + at.index(text.len() - PREFIX.len());
        let error = parse(&text[..at]).unwrap_err();
        let is_cut = matches!(error, TicketError::Truncated { missing } if missing <= text.len() - at);
        prop_assert!(is_cut, "{:?}", error);
    }

    /// A writer that errs puts the right checksum on a wrong body: what is taken is the only form of
    /// what it says, but for fields of later versions, which are skipped.
    #[test]
    fn a_sealed_body_is_the_only_form_of_its_ticket_or_none(
        ticket in any_ticket(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut body = encode::body(&ticket);
        for (at, change) in changes {
            *at.get_mut(&mut body) ^= change;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len() + 1));
        }
        let text = forge(&body);
        if let Ok(taken) = parse(&text) {
            let again = taken.to_string();
            prop_assert_eq!(parse(&again), Ok(taken));
            prop_assert!(again.len() <= text.len(), "{again} of {text}");
            prop_assert!(again.len() < text.len() || again == text, "{again} of {text}");
        }
    }

    #[test]
    fn no_text_is_worse_than_an_error(text in any::<String>()) {
        let _ = parse(&text);
        let _ = parse(&format!("{PREFIX}{text}"));
    }
}
