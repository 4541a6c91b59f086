use super::*;
use proptest::prelude::*;

fn options() -> DeflateOptions {
    DeflateOptions { offer: Offer::Optional, accepts: true, level: 3, window_bits: 15, no_context: false, threshold: 0 }
}

fn answer(offer: &str) -> Option<String> {
    accept([offer.as_bytes()], &options()).map(|(_, answer)| answer)
}

#[test]
fn an_offer_is_answered() {
    for (offer, expected) in [
        ("permessage-deflate", "permessage-deflate; client_no_context_takeover"),
        ("permessage-deflate; client_max_window_bits", "permessage-deflate; client_no_context_takeover"),
        ("permessage-deflate; client_max_window_bits=10", "permessage-deflate; client_no_context_takeover"),
        (
            "permessage-deflate; server_max_window_bits=\"10\"",
            "permessage-deflate; client_no_context_takeover; server_max_window_bits=10",
        ),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ),
        ("x-other; a=1, permessage-deflate", "permessage-deflate; client_no_context_takeover"),
    ] {
        assert_eq!(answer(offer).as_deref(), Some(expected), "{offer}");
    }
}

#[test]
fn an_offer_that_is_wrong_is_passed_over_for_the_next() {
    for wrong in [
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=x",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; client_max_window_bits=+9",
        "permessage-deflate; client_max_window_bits=99999999999999999999",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; unknown",
        "x-webkit-deflate-frame",
    ] {
        assert_eq!(answer(wrong), None, "{wrong}");
        let next = format!("{wrong}, permessage-deflate; server_max_window_bits=12");
        let expected = "permessage-deflate; client_no_context_takeover; server_max_window_bits=12";
        assert_eq!(answer(&next).as_deref(), Some(expected), "{next}");
    }
}

#[test]
fn a_limit_of_ours_holds_for_both_directions() {
    let options = DeflateOptions { window_bits: 11, no_context: true, ..options() };
    let answer = |offer: &str| accept([offer.as_bytes()], &options);
    let (agreed, text) = answer("permessage-deflate; client_max_window_bits").expect("taken");
    let expected = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                    server_max_window_bits=11; client_max_window_bits=11";
    assert_eq!(text, expected);
    assert_eq!(agreed.sending(Role::Server), WindowParams { bits: 11, keeps_context: false });
    let (_, text) = answer("permessage-deflate").expect("taken");
    assert!(!text.contains(CLIENT_BITS), "a client that does not know the parameter: {text}");

    let (offers, header) = Offers::ours(&options);
    let expected = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                    server_max_window_bits=11; client_max_window_bits=11";
    assert_eq!(header.as_deref(), Some(expected));
    assert!(offers.check([&b"permessage-deflate; server_no_context_takeover; server_max_window_bits=12"[..]]).is_err());
}

#[test]
fn eight_bits_are_agreed_to() {
    let (agreed, text) = accept([&b"permessage-deflate; server_max_window_bits=8"[..]], &options()).expect("taken");
    assert!(text.ends_with("server_max_window_bits=8"), "{text}");
    assert_eq!(agreed.sending(Role::Server).bits, 8);
    let (offers, _) = Offers::ours(&options());
    let agreed = offers.check([&b"permessage-deflate; client_max_window_bits=8"[..]]).expect("fits").expect("agreed");
    assert_eq!(agreed.sending(Role::Client).bits, 8);
}

#[test]
fn an_answer_must_fit_the_offer() {
    let (offers, header) = Offers::ours(&options());
    assert_eq!(header.as_deref(), Some("permessage-deflate; client_max_window_bits"));
    assert_eq!(offers.check([]), Ok(None));
    for good in [
        "permessage-deflate",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; client_max_window_bits=\"9\"; server_no_context_takeover; client_no_context_takeover",
    ] {
        assert!(matches!(offers.check([good.as_bytes()]), Ok(Some(_))), "{good}");
    }
    for (wrong, reason) in [
        ("permessage-deflate; client_max_window_bits", "no value"),
        ("permessage-deflate; client_max_window_bits=16", "value of `client_max_window_bits` is wrong"),
        ("permessage-deflate; server_no_context_takeover=", "cannot be read"),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", "twice"),
        ("permessage-deflate; x=1", "no parameter `x`"),
        ("permessage-deflate, permessage-deflate", "more extensions"),
        ("x-other", "was not offered"),
        ("permessage-deflate x", "cannot be read"),
    ] {
        let told = offers.check([wrong.as_bytes()]).expect_err(wrong);
        assert!(told.contains(reason), "{wrong}: {told}");
    }
}

#[test]
fn an_offer_that_the_user_wrote_is_what_counts() {
    let check = |offer: &str, answer: &str| Offers::written([offer.as_bytes()], &options()).check([answer.as_bytes()]);
    let plain = "permessage-deflate";
    assert!(
        check(plain, "permessage-deflate; client_max_window_bits=10").is_err_and(|text| text.contains("not offered"))
    );
    assert!(check("x-mine", plain).is_err_and(|text| text.contains("not offered")));
    assert!(check("x-mine", "x-mine").is_err(), "nobody here speaks it");
    let both = "permessage-deflate; server_max_window_bits=10, permessage-deflate; client_max_window_bits=12";
    for answer in [plain, "permessage-deflate; server_max_window_bits=9"] {
        assert!(matches!(check(both, answer), Ok(Some(_))), "{answer}");
    }
    let agreed = check("permessage-deflate; client_max_window_bits=12", plain).expect("fits").expect("agreed");
    assert_eq!(agreed.sending(Role::Client), WindowParams { bits: 12, keeps_context: true });
}

fn parameters() -> impl Strategy<Value = Parameters> {
    let bits = || prop::option::of(8..=15u8);
    (any::<bool>(), any::<bool>(), bits(), prop::option::of(bits())).prop_map(
        |(server_no_context, client_no_context, server_bits, client_bits)| Parameters {
            server_no_context,
            client_no_context,
            server_bits,
            client_bits,
        },
    )
}

proptest! {
    #[test]
    fn parameters_are_printed_and_read_again(parameters in parameters()) {
        let text = Extension::from(parameters).to_string();
        let read = parse([text.as_bytes()]).expect("a list");
        prop_assert_eq!(Parameters::of(&read[0]), Ok(parameters));
    }

    #[test]
    fn every_answer_of_ours_fits_its_offer(
        offer in parameters(), window_bits in 9..=15u8, no_context in any::<bool>()
    ) {
        let offer = Extension::from(offer).to_string();
        let options = DeflateOptions { window_bits, no_context, ..options() };
        let (agreed, answer) = accept([offer.as_bytes()], &options).expect("a correct offer is taken");
        let seen = Offers::written([offer.as_bytes()], &options).check([answer.as_bytes()]).expect("it fits");
        prop_assert_eq!(seen, Some(agreed));
    }
}
