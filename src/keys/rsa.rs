//! The numbers of an RSA key, by crypto-primes: ring makes none.
//!
//! What lies on the heap is wiped by the binary's allocator when it is freed, and these numbers lie
//! nowhere else. How long the search takes tells something of numbers that were thrown away.

use std::convert::Infallible;

use crypto_bigint::{BoxedUint, ConcatenatingMul as _, Lcm as _, Limb, NonZero, Resize as _};
use crypto_primes::hazmat::{SetBits, SmallFactorsSieveFactory};
use crypto_primes::{Flavor, is_prime, sieve_and_find};
use ring::rand::{SecureRandom, SystemRandom};

use crate::der::{Der, sequence, unsigned};

/// The public exponent; everybody's.
const EXPONENT: u64 = 65_537;
/// How near each other two primes of this size may be: the higher bits have to differ.
const NEAR: u32 = 100;

/// An RSAPrivateKey (PKCS #1) with a modulus of so many bits. `None`: there is no randomness.
pub(super) fn private_key(random: &SystemRandom, modulus: u32) -> Option<Der> {
    let mut random = Random { source: random, failed: false };
    let half = modulus / 2;
    let (p, q) = loop {
        let (one, other) = (prime(&mut random, half)?, prime(&mut random, half)?);
        if random.failed {
            return None;
        }
        let (p, q) = if one > other { (one, other) } else { (other, one) };
        if p.wrapping_sub(&q).bit_width() > half - NEAR {
            break (p, q);
        }
    };
    let (below_p, below_q) = (before(&p), before(&q));
    let together: BoxedUint = below_p.lcm(&below_q);
    let coefficient = q.invert_odd_mod(&p.to_odd().into_option()?).into_option()?;
    let number = |number: &BoxedUint| unsigned(&zeroize::Zeroizing::new(number.to_be_bytes().into_vec()));
    let numbers = [
        unsigned(&[]),
        number(&p.concatenating_mul(&q)),
        unsigned(&EXPONENT.to_be_bytes()),
        number(&exponent(&together)?),
        number(&p),
        number(&q),
        number(&exponent(&below_p)?),
        number(&exponent(&below_q)?),
        number(&coefficient),
    ];
    Some(sequence(&numbers.each_ref().map(Der::bytes)))
}

/// A random prime with its two highest bits set, so that a product of two is as long as both
/// together, and with none but itself and others that the exponent has an inverse for.
fn prime(random: &mut Random<'_>, bits: u32) -> Option<BoxedUint> {
    let candidates = SmallFactorsSieveFactory::new(Flavor::Any, bits, SetBits::TwoMsb).ok()?;
    let fits = |_: &mut Random<'_>, candidate: &BoxedUint| {
        rest(&before(candidate)).is_some_and(|rest| rest != 0) && is_prime(Flavor::Any, candidate)
    };
    sieve_and_find(random, candidates, fits).ok()?
}

fn before(number: &BoxedUint) -> BoxedUint {
    number.wrapping_sub(BoxedUint::one_with_precision(number.bits_precision()))
}

fn divisor() -> Option<NonZero<Limb>> {
    NonZero::new(Limb::from(EXPONENT)).into_option()
}

/// What is left of a number that is divided by the public exponent.
fn rest(number: &BoxedUint) -> Option<u64> {
    Some(number.rem_limb(divisor()?).0)
}

/// The private exponent under a modulus that the public one does not divide: the inverse of the
/// public one. It is `(1 + k * modulus) / EXPONENT` for the one `k` that leaves no rest, and that `k`
/// is found with small numbers.
fn exponent(modulus: &BoxedUint) -> Option<BoxedUint> {
    let factor = EXPONENT - small_inverse(rest(modulus)?);
    let wide = modulus.resize(modulus.bits_precision() + Limb::BITS);
    let product = wide.wrapping_mul(BoxedUint::from(factor)).wrapping_add(BoxedUint::one());
    let (quotient, rest) = product.div_rem_limb(divisor()?);
    (rest == Limb::ZERO).then(|| quotient.resize(modulus.bits_precision()))
}

/// The inverse modulo the public exponent, which is a prime: a power.
fn small_inverse(number: u64) -> u64 {
    let (mut power, mut square, mut left) = (1, number % EXPONENT, EXPONENT - 2);
    while left > 0 {
        if left & 1 == 1 {
            power = power * square % EXPONENT;
        }
        square = square * square % EXPONENT;
        left >>= 1;
    }
    power
}

/// The system's randomness for who cannot be told that there is none: it is asked afterwards.
struct Random<'a> {
    source: &'a SystemRandom,
    failed: bool,
}

impl rand_core::TryRng for Random<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.failed |= self.source.fill(bytes).is_err();
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Random<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exponent_undoes_the_public_one() {
        // Carmichael's function of 7919 and 104729, and a product with one of them.
        for modulus in [7_918_u64 * 104_728 / 2, 7_918, 104_728] {
            let found = exponent(&BoxedUint::from(modulus)).unwrap();
            let found = u64::from_be_bytes(found.to_be_bytes()[..].try_into().unwrap());
            assert!(found < modulus);
            assert_eq!(u128::from(found) * u128::from(EXPONENT) % u128::from(modulus), 1, "{modulus}");
        }
    }

    #[test]
    fn a_small_number_and_its_inverse_make_one() {
        for number in [1, 2, 3, 65_536, 12_345] {
            assert_eq!(number * small_inverse(number) % EXPONENT, 1, "{number}");
        }
    }
}
