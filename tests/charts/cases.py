"""Ways in which people install the chart, each rendered by the tests of what must hold for all of them."""

from typing import Any

CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "artefacts in a bucket": {
        "artifacts": {
            "type": "s3",
            "s3": {
                "bucket": "models",
                "endpoint": "http://minio.storage.svc:9000",
                "accessKeyId": "id",
                "secretAccessKey": "key",
            },
        },
        "networkPolicy": {"objectStore": {"ports": [9000]}},
    },
    "an MLflow": {
        "tracking": {"mlflowUrl": "http://mlflow.mlops.svc:5000"},
        "artifacts": {
            "type": "s3",
            "s3": {"bucket": "models", "accessKeyId": "id", "secretAccessKey": "key"},
        },
        "trainer": {"settings": {"mlflowArtifacts": "card"}},
    },
    "a collector of traces": {"traces": {"endpoint": "http://collector.traces.svc:4318"}},
    "a bucket by identity": {
        "artifacts": {"type": "s3", "s3": {"bucket": "models", "prefix": ""}},
        "runs": {"serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:runs"}}},
    },
    "external database": {
        "postgresql": {"enabled": False},
        "externalDatabase": {"url": "postgresql://u:p@db.example.com:5432/sentops"},
        "migrations": {"beforeUpgrade": "always"},
    },
    "secrets of one's own": {
        "secrets": {"existingSecret": "ours"},
        "postgresql": {"enabled": False},
        "externalDatabase": {"existingSecret": "database", "existingSecretKey": "uri"},
        "artifacts": {"type": "s3", "s3": {"bucket": "models", "existingSecret": "bucket"}},
    },
    "claims of one's own": {
        "artifacts": {"pvc": {"existingClaim": "shared", "accessModes": ["ReadWriteMany"]}},
        "cache": {"existingClaim": "bases"},
        "web": {"spool": {"persistent": False}},
        "runs": {"work": {"size": ""}},
    },
    "ingress": {
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "64m"},
            "web": {"host": "ask.example.com", "tlsSecret": "ask-tls"},
            "backoffice": {"host": "staff.example.com", "tlsSecret": "staff-tls"},
        },
        "web": {"settings": {"forwardedAllowIps": "10.42.0.0/16"}},
    },
    "gateway": {
        "gateway": {
            "enabled": True,
            "parentRefs": [{"name": "public", "namespace": "gateways"}],
            "web": {"host": "ask.example.com"},
            "backoffice": {"host": "ask.example.com"},
        }
    },
    "metrics": {
        "metrics": {
            "enabled": True,
            "labels": {"release": "prometheus"},
            "rules": {"enabled": True},
            "dashboards": {"enabled": True},
        },
        "tracking": {"mlflowUrl": "http://mlflow.mlops.svc:5000"},
        "networkPolicy": {
            "metricsFrom": [
                {
                    "namespaceSelector": {
                        "matchLabels": {"kubernetes.io/metadata.name": "monitoring"}
                    }
                }
            ]
        },
    },
    "several namespaces": {"operator": {"watchNamespaces": ["team-a", "team-b"]}},
    "all namespaces": {"operator": {"watchAllNamespaces": True, "replicas": 2}},
    "large": {
        "web": {
            "autoscaling": {"enabled": True, "maxReplicas": 20},
            "service": {"type": "LoadBalancer", "port": 80},
        },
        "backoffice": {"replicas": 2},
        "trainer": {"replicas": 2},
        "model": {"replicas": 3, "maxReplicas": 12},
        "pods": {
            "nodeSelector": {"pool": "sentops"},
            "tolerations": [{"key": "dedicated", "operator": "Exists"}],
            "priorityClassName": "business",
            "labels": {"team": "reviews"},
            "annotations": {"example.com/owner": "reviews"},
        },
        "artifacts": {"pvc": {"accessModes": ["ReadWriteMany"], "storageClass": "nfs"}},
        "runs": {"work": {"storageClass": "nfs", "accessMode": "ReadWriteMany"}},
    },
    "small": {
        "web": {"replicas": 1},
        "model": {"replicas": 1, "maxReplicas": 1},
        "networkPolicy": {"enabled": False},
        "crds": {"enabled": False},
        "admissionPolicy": {"enabled": False},
        "cache": {"enabled": False},
        "operator": {"cleanupOnUninstall": False, "leaderElection": False},
        "podDisruptionBudgets": {"enabled": False},
    },
    "private registry": {
        "image": {
            "registry": "registry.example.com/team/",
            "tag": "1.2.3-rc.1",
            "pullPolicy": "Always",
            "pullSecrets": ["pull"],
        },
        "trainer": {"image": "registry.example.com/gpu/trainer@sha256:" + "a" * 64},
    },
    "other names": {"nameOverride": "opinions", "fullnameOverride": "opinions-of-people"},
}
