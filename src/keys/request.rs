//! The request for a certificate (PKCS #10), signed with its own key.

use std::net::IpAddr;

use super::names::Names;
use super::pair::Pair;
use super::pem::pem;
use crate::der::{
    self, Der, OBJECT_IDENTIFIER as OBJECT, OCTET_STRING, SET, UTF8_STRING as UTF8, element, sequence,
};

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const ATTRIBUTES: u8 = 0xa0;
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const IP: u8 = 0x87;

/// A request for these names, PEM. `None`: it could not be signed.
pub(super) fn request(pair: &Pair, names: &Names) -> Option<String> {
    let version = der::unsigned(&[]);
    let info = sequence(&[&version, &subject(names), pair.public_key(), &attributes(names)]);
    let signature = pair.sign(&info)?;
    let whole = sequence(&[&info, &pair.signature_algorithm(), &der::bits(&signature)]);
    Some(pem("CERTIFICATE REQUEST", &whole).to_string())
}

fn subject(names: &Names) -> Der {
    let Some(name) = &names.common_name else { return sequence(&[]) };
    let pair = sequence(&[&element(OBJECT, &[COMMON_NAME]), &element(UTF8, &[name.as_bytes()])]);
    sequence(&[&element(SET, &[&pair])])
}

fn attributes(names: &Names) -> Der {
    if names.is_bare() {
        return element(ATTRIBUTES, &[]);
    }
    let mut all = Vec::new();
    let mut add = |tag, bytes: &[u8]| all.push(element(tag, &[bytes]));
    names.dns.iter().for_each(|name| add(DNS, name.as_bytes()));
    names.email.iter().for_each(|name| add(EMAIL, name.as_bytes()));
    names.uri.iter().for_each(|name| add(URI, name.as_bytes()));
    names.ip.iter().for_each(|address| match address {
        IpAddr::V4(address) => add(IP, &address.octets()),
        IpAddr::V6(address) => add(IP, &address.octets()),
    });
    let all: Vec<&[u8]> = all.iter().map(Der::bytes).collect();
    let names = element(OCTET_STRING, &[&sequence(&all)]);
    let extension = sequence(&[&element(OBJECT, &[SUBJECT_ALT_NAME]), &names]);
    let extensions = element(SET, &[&sequence(&[&extension])]);
    element(ATTRIBUTES, &[&sequence(&[&element(OBJECT, &[EXTENSION_REQUEST]), &extensions])])
}
