#!/usr/bin/env python3
"""Uploads an archive, backs a course up, restores it into a new course, and downloads that. See README.md beside this file."""

import argparse
import hashlib
import os
import pathlib
import sys
import uuid

import grpc

# The generated files import each other from the folder that they were written to.
sys.path.insert(0, os.environ.get("COURSEVAULT_STUBS", str(pathlib.Path(__file__).parent)))

from coursevault.v1 import (  # noqa: E402
    archive_pb2,
    backup_pb2,
    backup_pb2_grpc,
    course_pb2,
    course_pb2_grpc,
    job_pb2,
    job_pb2_grpc,
    restore_pb2,
    restore_pb2_grpc,
    transfer_pb2,
    transfer_pb2_grpc,
)

# A call that changes something carries a request_id: repeated under the same one, it has its effect once. So what failed on the
# way may simply be called again, and grpc does that for us where the server says UNAVAILABLE.
SERVICE_CONFIG = """{
  "loadBalancingConfig": [{"round_robin": {}}],
  "methodConfig": [{
    "name": [{"service": "coursevault.v1.BackupService"}, {"service": "coursevault.v1.RestoreService"},
             {"service": "coursevault.v1.CourseService"}, {"service": "coursevault.v1.JobService"}],
    "retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.2s", "maxBackoff": "5s", "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"]}
  }]
}"""


class Client:
    """The services of one server, and the token that every call shows."""

    def __init__(self, server, site, token):
        options = [("grpc.max_receive_message_length", 8 << 20), ("grpc.service_config", SERVICE_CONFIG)]
        self.channel = grpc.insecure_channel(server, options=options)
        self.site = f"sites/{site}"
        self.metadata = [("authorization", f"Bearer {token}")] if token else []
        self.backups = backup_pb2_grpc.BackupServiceStub(self.channel)
        self.courses = course_pb2_grpc.CourseServiceStub(self.channel)
        self.jobs = job_pb2_grpc.JobServiceStub(self.channel)
        self.restores = restore_pb2_grpc.RestoreServiceStub(self.channel)
        self.transfers = transfer_pb2_grpc.TransferServiceStub(self.channel)

    def upload(self, path, break_off_after=None):
        """Sends a file in a session. A cut connection costs what was under way; `break_off_after` bytes play one."""
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        size = path.stat().st_size
        started = self.transfers.StartUpload(
            transfer_pb2.StartUploadRequest(parent=self.site, file_name=path.name, request_id=str(uuid.uuid4())),
            metadata=self.metadata,
        )
        name, chunk_bytes = started.upload.name, min(started.max_chunk_bytes, 256 << 10)
        committed = 0
        while committed < size:
            end = size if break_off_after is None else min(size, committed + break_off_after)
            break_off_after = None
            try:
                self.transfers.UploadChunks(self._chunks(path, name, committed, end, chunk_bytes), metadata=self.metadata)
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED):
                    raise
            # The server says what is durable; whatever came beyond that is sent again.
            session = self.transfers.GetUpload(transfer_pb2.GetUploadRequest(name=name), metadata=self.metadata)
            committed = session.upload.committed_bytes
            print(f"uploaded {committed} of {size} bytes")
        finished = self.transfers.FinishUpload(
            transfer_pb2.FinishUploadRequest(name=name, size_bytes=size, sha256=digest),
            metadata=self.metadata,
            timeout=600,
        )
        return finished.archive

    @staticmethod
    def _chunks(path, name, begin, end, chunk_bytes):
        yield transfer_pb2.UploadChunksRequest(name=name)
        with path.open("rb") as file:
            file.seek(begin)
            while begin < end:
                data = file.read(min(chunk_bytes, end - begin))
                yield transfer_pb2.UploadChunksRequest(chunk=archive_pb2.Chunk(offset=begin, data=data))
                begin += len(data)

    def publish(self, course, archive):
        """Makes an archive the live state of a course."""
        request = course_pb2.PublishRevisionRequest(course=course, archive=archive, request_id=str(uuid.uuid4()))
        return self.courses.PublishRevision(request, metadata=self.metadata).revision

    def backup(self, course):
        """Starts a backup and answers with its job at once."""
        request = backup_pb2.CreateBackupRequest(course=course, request_id=str(uuid.uuid4()))
        return self.backups.CreateBackup(request, metadata=self.metadata).job

    def restore(self, archive, course_id):
        """Starts a restore into a new course and answers with its job at once."""
        request = restore_pb2.CreateRestoreRequest(
            archive=archive,
            new_course=restore_pb2.NewCourse(course_id=course_id),
            request_id=str(uuid.uuid4()),
        )
        return self.restores.CreateRestore(request, metadata=self.metadata).job

    def wait(self, job):
        """Polls until a job ends. Each poll waits on the server, so it costs nothing while nothing changes."""
        open_states = (job_pb2.Job.STATE_PENDING, job_pb2.Job.STATE_RUNNING, job_pb2.Job.STATE_CANCELLING)
        while job.state in open_states:
            request = job_pb2.WaitJobRequest(name=job.name)
            request.timeout.FromSeconds(10)
            job = self.jobs.WaitJob(request, metadata=self.metadata, timeout=20).job
            print(f"{job_pb2.Job.Kind.Name(job.kind)} {job_pb2.Job.State.Name(job.state)} {job.progress.phase}")
        if job.state != job_pb2.Job.STATE_SUCCEEDED:
            raise SystemExit(f"{job.name}: {job.problem.reason}: {job.problem.message}")
        return job.result

    def download(self, course, path, stop_after=None):
        """Fetches a course's live state. A partial file is gone on with; `stop_after` bytes play a cut connection."""
        part = path.with_name(path.name + ".part")
        offset = part.stat().st_size if part.exists() else 0
        request = course_pb2.DownloadCourseRequest(name=course, offset=offset)
        digest = ""
        with part.open("ab") as file:
            call = self.courses.DownloadCourse(request, metadata=self.metadata)
            for answer in call:
                if answer.WhichOneof("part") == "chunk":
                    file.write(answer.chunk.data)
                elif answer.WhichOneof("part") == "finish":
                    digest = answer.finish.sha256
                if stop_after is not None and file.tell() >= stop_after:
                    call.cancel()
                    return False
        if digest and hashlib.sha256(part.read_bytes()).hexdigest() != digest:
            raise SystemExit(f"{course}: what arrived is not what was sent")
        part.rename(path)
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=pathlib.Path)
    parser.add_argument("target", type=pathlib.Path)
    parser.add_argument("--server", default="127.0.0.1:50051")
    parser.add_argument("--site", default="main")
    parser.add_argument("--course", default="python101")
    arguments = parser.parse_args()
    client = Client(arguments.server, arguments.site, os.environ.get("COURSEVAULT_TOKEN"))

    archive = client.upload(arguments.archive, break_off_after=arguments.archive.stat().st_size // 3)
    print("stored", archive.name)
    course = f"{client.site}/courses/{arguments.course}"
    print("published", client.publish(course, archive.name).name)
    saved = client.wait(client.backup(course))
    print("backed up", saved.archive)
    restored = client.wait(client.restore(saved.archive, f"{arguments.course}-restored"))
    print("restored", restored.course)
    if not client.download(restored.course, arguments.target, stop_after=64 << 10):
        print("the connection was cut; going on")
        client.download(restored.course, arguments.target)
    print("downloaded", arguments.target, arguments.target.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
