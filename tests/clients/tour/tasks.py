"""Tasks of import and export: a client elsewhere has no way to hand a file over, and is told so; the rest is as EC2 has it."""

from asking import IMAGE, Tour, ec2


class Tasks(Tour):
    def test_files_come_over_the_socket_alone(self):
        disk = {"Format": "raw", "Url": "s3://bucket/disk"}
        self.refused("InvalidParameterValue", ec2.import_snapshot, DiskContainer=disk)
        self.refused("InvalidParameterValue", ec2.import_image, DiskContainers=[disk])
        self.refused("InvalidParameterValue", ec2.import_snapshot, DiskContainer=disk, DryRun=True)
        self.refused("MissingParameter", ec2.import_image)

    def test_the_task_that_made_the_image_is_done(self):
        tasks = ec2.describe_import_image_tasks()["ImportImageTasks"]
        task = self.only(tasks)
        self.assertEqual(task["Status"], "completed")
        self.assertEqual(ec2.describe_import_snapshot_tasks()["ImportSnapshotTasks"], [])
        self.assertEqual(ec2.describe_export_image_tasks()["ExportImageTasks"], [])
        self.refused("IncorrectState", ec2.cancel_import_task, ImportTaskId=task["ImportTaskId"])

    def test_tasks_that_there_are_not(self):
        self.refused("InvalidConversionTaskId", ec2.cancel_import_task, ImportTaskId="import-ami-00000000000000001")
        self.refused("InvalidConversionTaskId.Malformed", ec2.cancel_import_task, ImportTaskId="import-x")
        self.refused("InvalidExportTaskID.NotFound", ec2.cancel_export_task, ExportTaskId="export-ami-00000000000000001")
        self.refused("InvalidExportTaskID.Malformed", ec2.cancel_export_task, ExportTaskId="x")
        self.refused(
            "InvalidConversionTaskId",
            ec2.describe_import_image_tasks,
            ImportTaskIds=["import-ami-00000000000000001"],
        )
        self.refused(
            "InvalidExportTaskID.NotFound",
            ec2.describe_export_image_tasks,
            ExportImageTaskIds=["export-ami-00000000000000001"],
        )
        exporting = {"DiskImageFormat": "RAW", "S3ExportLocation": {"S3Bucket": "bucket"}}
        self.refused("UnsupportedOperation", ec2.export_image, ImageId=IMAGE, **exporting)
