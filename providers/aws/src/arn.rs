//! Amazon resource names, as far as we look into them: `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.

/// The parts of an ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arn<'a> {
    pub(crate) partition: &'a str,
    pub(crate) service: &'a str,
    pub(crate) region: &'a str,
    pub(crate) account: &'a str,
    pub(crate) resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Whether it is meant as one.
    pub(crate) fn begins(text: &str) -> bool {
        text.starts_with("arn:")
    }

    /// `None`: it is none.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let ("arn", partition) = (parts.next()?, parts.next()?) else { return None };
        let arn = Self {
            partition,
            service: parts.next()?,
            region: parts.next()?,
            account: parts.next()?,
            resource: parts.next()?,
        };
        (!arn.partition.is_empty() && !arn.resource.is_empty()).then_some(arn)
    }

    /// The same in another region, as a replica is named.
    pub(crate) fn in_region(&self, region: &str) -> String {
        let Self { partition, service, account, resource, .. } = self;
        format!("arn:{partition}:{service}:{region}:{account}:{resource}")
    }

    /// Whether the account is one: twelve digits.
    pub(crate) fn has_account(&self) -> bool {
        is_account(self.account)
    }
}

/// Twelve digits.
fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The partition that a region belongs to.
pub(crate) fn partition_of(region: &str) -> &'static str {
    const PREFIXES: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-isob-", "aws-iso-b"),
        ("us-isof-", "aws-iso-f"),
        ("us-iso-", "aws-iso"),
        ("eu-isoe-", "aws-iso-e"),
        ("eusc-", "aws-eusc"),
    ];
    PREFIXES.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_has_six_parts_and_its_resource_may_hold_colons() {
        let arn = Arn::parse("arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf").unwrap();
        assert_eq!(
            (arn.region, arn.account, arn.resource),
            ("eu-west-1", "123456789012", "secret:prod/db-AbCdEf")
        );
        assert!(arn.has_account());
        assert_eq!(
            arn.in_region("us-east-1"),
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/db-AbCdEf"
        );
        for bad in ["arn:aws:secretsmanager", "prod/db", "arn:aws:ssm:eu-west-1:1:", "arn::ssm:r:1:x"] {
            assert_eq!(Arn::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_region_names_its_partition() {
        assert_eq!(partition_of("eu-west-1"), "aws");
        assert_eq!(partition_of("cn-north-1"), "aws-cn");
        assert_eq!(partition_of("us-gov-west-1"), "aws-us-gov");
        assert_eq!(partition_of("us-isob-east-1"), "aws-iso-b");
    }
}
