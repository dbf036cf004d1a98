"""The model servers of a model: a Deployment for the champion, and one beside it for a candidate.

Who is champion is written on the champion's Deployment, and only once its roll-out has come through: until then
everyone is still served by the one before.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sentops_core.domain.resources import ModelVersion
from sentops_core.domain.serving import Slot
from sentops_core.kube.api import KubeApi, Manifest
from sentops_core.kube.kinds import (
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    POD,
    POD_DISRUPTION_BUDGET,
    SERVICE,
)
from sentops_operator.manifests import metadata as names
from sentops_operator.manifests import serving
from sentops_operator.object_cache import ObjectCache
from sentops_operator.slot_observation import digest_of, observe_slot
from sentops_operator.work_queue import Key, KeyKind


@dataclass(frozen=True)
class Servers:
    """What is seen of a model's two Deployments."""

    champion: Slot
    candidate: Slot
    champion_name: str | None
    previous_name: str | None


class ModelServers:
    def __init__(self, api: KubeApi, cache: ObjectCache, settings: serving.ServingSettings) -> None:
        self._api = api
        self._cache = cache
        self._settings = settings

    def observe(self, namespace: str, model_name: str, digests: Mapping[str, str]) -> Servers:
        """`digests` of the model's versions, by name."""
        pods = self._cache.of_key(POD, Key(KeyKind.MODEL, namespace, model_name))
        champion_name = self.champion_name(namespace, model_name)
        return Servers(
            champion=observe_slot(
                self._deployment(namespace, model_name, "champion"),
                _of_slot(pods, "champion"),
                serving_digest=digests.get(champion_name or ""),
            ),
            candidate=observe_slot(
                self._deployment(namespace, model_name, "candidate"), _of_slot(pods, "candidate")
            ),
            champion_name=champion_name,
            previous_name=self._noted(namespace, model_name).get(
                names.PREVIOUS_CHAMPION_ANNOTATION
            ),
        )

    def champion_name(self, namespace: str, model_name: str) -> str | None:
        return self._noted(namespace, model_name).get(names.CHAMPION_ANNOTATION)

    def target_name(self, namespace: str, model_name: str, slot: names.Slot) -> str | None:
        """The version that the slot's Deployment is at, or is being rolled to."""
        deployment = self._deployment(namespace, model_name, slot)
        labels = (deployment["metadata"].get("labels") or {}) if deployment else {}
        name: str | None = labels.get(names.MODEL_VERSION_LABEL)
        return name

    async def load_candidate(self, version: ModelVersion) -> None:
        namespace, model_name = names.namespace_of(version.metadata), version.spec.model_name
        await self._apply(serving.build_deployment(version, "candidate", self._settings))
        await self._api.apply(serving.build_service(model_name, namespace, "candidate"))

    async def switch(self, version: ModelVersion) -> None:
        """Roll the champion's Deployment to this version; when all its pods are new ones, call it the champion."""
        namespace, model_name = names.namespace_of(version.metadata), version.spec.model_name
        noted = self._noted(namespace, model_name)
        if self._came_through(version):
            before = noted.get(names.CHAMPION_ANNOTATION)
            previous = (
                before
                if before != version.metadata.name
                else noted.get(names.PREVIOUS_CHAMPION_ANNOTATION)
            )
            noted = {names.CHAMPION_ANNOTATION: version.metadata.name}
            if previous is not None:
                noted[names.PREVIOUS_CHAMPION_ANNOTATION] = previous
        await self._apply(
            serving.build_deployment(version, "champion", self._settings, annotations=noted)
        )
        await self._apply_surroundings(namespace, model_name)
        if noted.get(names.CHAMPION_ANNOTATION) == version.metadata.name:
            await self.drop_candidate(namespace, model_name)

    async def restore_champion(self, champion: ModelVersion | None) -> None:
        """The champion's Deployment as it should be, whatever was begun with it or became of it."""
        if champion is None:
            return
        namespace, model_name = names.namespace_of(champion.metadata), champion.spec.model_name
        noted = self._noted(namespace, model_name) or _as_it_was(champion)
        await self._apply(
            serving.build_deployment(champion, "champion", self._settings, annotations=noted)
        )
        await self._apply_surroundings(namespace, model_name)

    async def drop_candidate(self, namespace: str, model_name: str) -> None:
        found = self._deployment(namespace, model_name, "candidate")
        if found is None:
            return
        name = names.deployment_name(model_name, "candidate")
        await self._api.delete(SERVICE, namespace, name)
        await self._api.delete(DEPLOYMENT, namespace, name)
        self._cache.forget(DEPLOYMENT, found)

    def _came_through(self, version: ModelVersion) -> bool:
        namespace, model_name = names.namespace_of(version.metadata), version.spec.model_name
        deployment = self._deployment(namespace, model_name, "champion")
        if deployment is None or digest_of(deployment) != version.spec.artifact.digest:
            return False
        pods = self._cache.of_key(POD, Key(KeyKind.MODEL, namespace, model_name))
        slot = observe_slot(deployment, _of_slot(pods, "champion"))
        return slot.serves(version.spec.artifact.digest)

    async def _apply(self, deployment: Manifest) -> None:
        self._cache.see(DEPLOYMENT, await self._api.apply(deployment))

    async def _apply_surroundings(self, namespace: str, model_name: str) -> None:
        """Service, autoscaler and disruption budget; what the settings do not ask for any more goes."""
        settings, name = self._settings, names.deployment_name(model_name, "champion")
        await self._api.apply(serving.build_service(model_name, namespace, "champion"))
        for kind, manifest in (
            (
                HORIZONTAL_POD_AUTOSCALER,
                serving.build_autoscaler(model_name, namespace, settings),
            ),
            (
                POD_DISRUPTION_BUDGET,
                serving.build_disruption_budget(model_name, namespace, settings),
            ),
        ):
            if manifest is not None:
                await self._api.apply(manifest)
            else:
                await self._api.delete(kind, namespace, name)

    def _deployment(self, namespace: str, model_name: str, slot: names.Slot) -> Manifest | None:
        return self._cache.get(DEPLOYMENT, namespace, names.deployment_name(model_name, slot))

    def _noted(self, namespace: str, model_name: str) -> dict[str, str]:
        """Who is champion, and who was before, as written on the Deployment."""
        deployment = self._deployment(namespace, model_name, "champion")
        annotations = deployment["metadata"].get("annotations") or {} if deployment else {}
        wanted = (names.CHAMPION_ANNOTATION, names.PREVIOUS_CHAMPION_ANNOTATION)
        return {key: annotations[key] for key in wanted if key in annotations}


def _as_it_was(champion: ModelVersion) -> dict[str, str]:
    """What a Deployment said that is gone."""
    noted = {names.CHAMPION_ANNOTATION: champion.metadata.name}
    if champion.status.previous_version is not None:
        noted[names.PREVIOUS_CHAMPION_ANNOTATION] = champion.status.previous_version
    return noted


def _of_slot(pods: list[Manifest], slot: names.Slot) -> list[Manifest]:
    return [
        pod for pod in pods if (pod["metadata"].get("labels") or {}).get(names.SLOT_LABEL) == slot
    ]
