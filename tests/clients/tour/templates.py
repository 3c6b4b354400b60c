"""Launch templates and their versions."""

from asking import IMAGE, Tour, ec2, filters, instance, launch, tags_of, terminate


class Templates(Tour):
    def test_a_template_has_versions_one_of_which_is_its_default(self):
        data = {"ImageId": IMAGE, "InstanceType": "t3.nano"}
        said = {"LaunchTemplateName": "tour", "LaunchTemplateData": data}
        self.refused("DryRunOperation", ec2.create_launch_template, DryRun=True, **said)
        made = self.by_token(
            ec2.create_launch_template,
            {"VersionDescription": "other"},
            lambda answer: answer["LaunchTemplate"]["LaunchTemplateId"],
            **said,
        )["LaunchTemplate"]
        id = made["LaunchTemplateId"]
        self.assertEqual((made["DefaultVersionNumber"], made["LatestVersionNumber"]), (1, 1))
        self.refused("InvalidLaunchTemplateName.AlreadyExistsException", ec2.create_launch_template, **said)
        self.refused(
            "InvalidLaunchTemplateName.MalformedException", ec2.create_launch_template, **{**said, "LaunchTemplateName": "a b"}
        )
        second = {"SourceVersion": "1", "LaunchTemplateData": {"InstanceType": "t3.micro"}, "VersionDescription": "2"}
        version = self.twice(ec2.create_launch_template_version, LaunchTemplateId=id, **second)["LaunchTemplateVersion"]
        self.assertEqual((version["VersionNumber"], version["DefaultVersion"]), (2, False))
        self.assertEqual(version["LaunchTemplateData"], {**data, "InstanceType": "t3.micro"})
        shown = ec2.describe_launch_template_versions(LaunchTemplateName="tour", Versions=["$Latest", "$Default"])
        self.assertEqual([one["VersionNumber"] for one in shown["LaunchTemplateVersions"]], [2, 1])
        self.twice(ec2.modify_launch_template, LaunchTemplateName="tour", DefaultVersion="2")
        template = self.only(ec2.describe_launch_templates(LaunchTemplateIds=[id])["LaunchTemplates"])
        self.assertEqual((template["DefaultVersionNumber"], template["LatestVersionNumber"]), (2, 2))
        self.assertEqual(ec2.describe_launch_templates(LaunchTemplateNames=["tour"])["LaunchTemplates"], [template])

        guest = launch(ImageId=IMAGE, LaunchTemplate={"LaunchTemplateId": id}, InstanceType="t3.nano")
        tags = {tag["Key"]: tag["Value"] for tag in instance(guest)["Tags"]}
        self.assertEqual((tags["aws:ec2launchtemplate:id"], tags["aws:ec2launchtemplate:version"]), (id, "2"))
        self.assertEqual(instance(guest)["InstanceType"], "t3.nano")
        taken = self.only([ec2.get_launch_template_data(InstanceId=guest)])["LaunchTemplateData"]
        self.assertEqual((taken["ImageId"], taken["InstanceType"]), (IMAGE, "t3.nano"))
        self.refused(
            "InvalidLaunchTemplateId.VersionNotFound",
            ec2.run_instances,
            LaunchTemplate={"LaunchTemplateId": id, "Version": "7"},
            MinCount=1,
            MaxCount=1,
        )
        terminate(guest)

        deleted = ec2.delete_launch_template_versions(LaunchTemplateId=id, Versions=["1", "2", "9"])
        done = deleted["SuccessfullyDeletedLaunchTemplateVersions"]
        self.assertEqual([one["VersionNumber"] for one in done], [1])
        failed = {one["VersionNumber"]: one["ResponseError"]["Code"] for one in deleted["UnsuccessfullyDeletedLaunchTemplateVersions"]}
        self.assertEqual(failed, {2: "unexpectedError", 9: "launchTemplateVersionDoesNotExist"})
        self.refused("InvalidLaunchTemplateId.VersionNotFound", ec2.modify_launch_template, LaunchTemplateId=id, DefaultVersion="1")
        gone = self.twice(ec2.delete_launch_template, LaunchTemplateName="tour")["LaunchTemplate"]
        self.assertEqual(gone["LaunchTemplateId"], id)
        self.refused("InvalidLaunchTemplateName.NotFoundException", ec2.delete_launch_template, LaunchTemplateName="tour")
        self.refused("InvalidLaunchTemplateId.NotFound", ec2.delete_launch_template, LaunchTemplateId=id)
        self.refused("InvalidLaunchTemplateId.NotFound", ec2.describe_launch_templates, LaunchTemplateIds=[id])
        self.refused(
            "InvalidLaunchTemplateName.NotFoundException", ec2.describe_launch_templates, LaunchTemplateNames=["tour"]
        )
        self.refused("InvalidLaunchTemplateId.Malformed", ec2.describe_launch_templates, LaunchTemplateIds=["lt-x"])

    def test_a_version_too_is_made_once_by_a_token(self):
        data = {"InstanceType": "t3.nano"}
        made = ec2.create_launch_template(
            LaunchTemplateName="again", LaunchTemplateData=data, TagSpecifications=tags_of("launch-template", Name="again")
        )
        id = made["LaunchTemplate"]["LaunchTemplateId"]
        found = ec2.describe_launch_templates(Filters=filters(**{"tag:Name": "ag*"}))["LaunchTemplates"]
        self.assertEqual([one["LaunchTemplateId"] for one in found], [id])
        self.by_token(
            ec2.create_launch_template_version,
            {"VersionDescription": "other"},
            lambda answer: answer["LaunchTemplateVersion"]["VersionNumber"],
            LaunchTemplateId=id,
            LaunchTemplateData={"InstanceType": "t3.small"},
        )
        found = ec2.describe_launch_template_versions(LaunchTemplateId=id, Filters=filters(instance_type="t3.s*"))
        self.assertEqual([one["VersionNumber"] for one in found["LaunchTemplateVersions"]], [2])
        ec2.delete_launch_template(LaunchTemplateId=id)
