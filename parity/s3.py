"""A server with S3's interface (moto) that holds a folder's files: python s3.py FOLDER

boto3 puts them below s3://wild/sets/a b+c/. The server's address is printed; it ends with standard input.
"""

import sys
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
address = f"http://127.0.0.1:{port}"
s3 = boto3.client("s3", endpoint_url=address, region_name="eu-west-1", aws_access_key_id="key", aws_secret_access_key="secret")
s3.create_bucket(Bucket="wild", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
root = Path(sys.argv[1])
for file in sorted(p for p in root.rglob("*") if p.is_file()):
    s3.upload_file(str(file), "wild", "sets/a b+c/" + file.relative_to(root).as_posix())
s3.put_object(Bucket="wild", Key="sets/a b+c/")  # as consoles make a folder
s3.put_object(Bucket="wild", Key="sets/other", Body=b"not part of it")
print(address, flush=True)
sys.stdin.read()
server.stop()
