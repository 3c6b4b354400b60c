"""Run in a guest: reads all of its metadata as a client does that knows no path and follows the listings.

Prints every path that it read; a listed path that is not there ends it with an error.
"""

import urllib.request

SERVICE = "http://169.254.169.254"


def ask(path, method="GET", **headers):
    request = urllib.request.Request(SERVICE + path, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


token = ask("/latest/api/token", "PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": "600"})


def get(path):
    return ask(path, **{"X-aws-ec2-metadata-token": token})


def walk(folder):
    for name in get(folder).splitlines():
        # The two that EC2 lists without a slash, and public keys, which are listed as NUMBER=NAME.
        if name.endswith("/"):
            walk(folder + name)
        elif folder == "/latest/" and name in ("dynamic", "meta-data"):
            walk(f"{folder}{name}/")
        elif "=" in name:
            walk(f"{folder}{name.split('=')[0]}/")
        else:
            get(folder + name)
            print(folder + name)


walk("/latest/")
