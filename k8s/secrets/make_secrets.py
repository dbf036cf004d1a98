"""Makes the passwords and tokens of a trial, once; what is there already stays as it is."""
# ruff: noqa: INP001, T201 - goes into a ConfigMap; its output is the log of a Job

import os
import secrets
import string

from kubernetes import client, config

LABELS = {"app.kubernetes.io/name": "sentops", "app.kubernetes.io/part-of": "sentops"}


def word(length: int) -> str:
    """Letters and digits alone, so that it fits into an address."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))


def credentials() -> dict[str, str]:
    return {
        "trainer-token": word(43),
        "backoffice-api-token": word(43),
        "web-signing-key": word(64),
        "first-admin-password": word(20),
    }


def database(namespace: str) -> dict[str, str]:
    password = word(32)
    host = f"sentops-postgresql.{namespace}.svc"
    return {
        "password": password,
        "superuser-password": word(32),
        "url": f"postgresql://sentops:{password}@{host}:5432/prediction",
    }


def make(api: client.CoreV1Api, namespace: str, name: str, content: dict[str, str]) -> bool:
    """Whether it was made; false where a Secret of this name exists."""
    body = client.V1Secret(
        metadata=client.V1ObjectMeta(name=name, labels=LABELS), string_data=content
    )
    try:
        api.create_namespaced_secret(namespace, body)
    except client.ApiException as error:
        if error.status != 409:
            raise
        print(f"{name} is there already and stays as it is.")
        return False
    print(f"{name} was made.")
    return True


def main() -> None:
    config.load_incluster_config()
    api, namespace = client.CoreV1Api(), os.environ["NAMESPACE"]
    make(api, namespace, "sentops-credentials", credentials())
    make(api, namespace, "sentops-database", database(namespace))


if __name__ == "__main__":
    main()
