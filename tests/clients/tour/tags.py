"""Tags: how many, how long, whose; and characters that must not break an answer."""

from asking import Tour, ec2, filters, zone


class Tags(Tour):
    def setUp(self):
        self.volume = ec2.create_volume(AvailabilityZone=zone(), Size=1)["VolumeId"]

    def tearDown(self):
        ec2.delete_volume(VolumeId=self.volume)

    def tag(self, key, value=""):
        return {"Resources": [self.volume], "Tags": [{"Key": key, "Value": value}]}

    def tags(self):
        described = ec2.describe_tags(Filters=filters(resource_id=self.volume))["Tags"]
        return {one["Key"]: one["Value"] for one in described}

    def test_lengths_and_reserved_keys(self):
        self.twice(ec2.create_tags, **self.tag("k" * 127 + "ü", "v" * 255 + "ü"))
        self.refused("InvalidParameterValue", ec2.create_tags, **self.tag("k" * 129))
        self.refused("InvalidParameterValue", ec2.create_tags, **self.tag("k", "v" * 257))
        for key in ["aws:x", "aws:"]:
            for dry_run in [False, True]:
                self.refused("InvalidParameterValue", ec2.create_tags, DryRun=dry_run, **self.tag(key))
                self.refused("InvalidParameterValue", ec2.delete_tags, DryRun=dry_run, **self.tag(key))
        self.refused("InvalidVolume.NotFound", ec2.create_tags, **{**self.tag("k"), "Resources": ["vol-00000000000000001"]})
        both = [self.volume, "vol-00000000000000001"]
        self.refused("InvalidVolume.NotFound", ec2.create_tags, **{**self.tag("k"), "Resources": both})
        self.refused("InvalidID", ec2.create_tags, **{**self.tag("k"), "Resources": ["nothing"]})
        self.assertEqual(self.tags(), {"k" * 127 + "ü": "v" * 255 + "ü"})

    def test_there_are_fifty_at_most(self):
        fifty = [{"Key": f"key-{n}", "Value": ""} for n in range(50)]
        ec2.create_tags(Resources=[self.volume], Tags=fifty)
        self.refused("TagLimitExceeded", ec2.create_tags, **self.tag("more"))
        self.refused("TagLimitExceeded", ec2.create_tags, DryRun=True, **self.tag("more"))
        # Another value of one that is there is no other tag.
        self.twice(ec2.create_tags, **self.tag("key-0", "other"))
        self.assertEqual(len(self.tags()), 50)
        # A tag goes if its value is the one that is named, or if none is.
        ec2.delete_tags(Resources=[self.volume], Tags=[{"Key": "key-0", "Value": "wrong"}, {"Key": "key-1"}])
        self.assertEqual(set(self.tags()), {f"key-{n}" for n in range(50) if n != 1})
        self.twice(ec2.delete_tags, Resources=[self.volume])
        self.assertEqual(self.tags(), {})

    def test_any_text_comes_back_as_it_was(self):
        for value in ["<a>&'\"]]>", "  around  ", "é\N{GRINNING FACE}", "a\tb\nc", "*?\\"]:
            with self.subTest(value=value):
                ec2.create_tags(**self.tag("text", value))
                self.assertEqual(self.tags(), {"text": value})
        # XML has no way to say these: whatever is made of them, the answer can be read.
        for value in ["\x01\x1b[2J", "a\x00b", "\ufffe"]:
            with self.subTest(value=value):
                try:
                    ec2.create_tags(**self.tag("text", value))
                except ec2.exceptions.ClientError as error:
                    self.assertEqual(error.response["Error"]["Code"], "InvalidParameterValue")
                self.assertEqual(set(self.tags()), {"text"})
