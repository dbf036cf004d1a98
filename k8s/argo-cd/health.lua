-- What Argo CD says about TrainingJobs, ModelVersions and RetrainPolicies. One script for all kinds; see k8s/README.md.

local function condition(kind)
  for _, found in ipairs(obj.status.conditions or {}) do
    if found.type == kind then
      return { status = found.status, message = found.message or "" }
    end
  end
  return { status = "Unknown", message = "" }
end

local function health(status, message)
  return { status = status, message = message }
end

local function is_stale()
  return (obj.status.observedGeneration or 0) < (obj.metadata.generation or 1)
end

local function training_job()
  local phase = obj.status.phase
  -- Finished stays finished: what can still change in the spec is how long its leftovers are kept.
  if phase == "Succeeded" then
    return health("Healthy", condition("Complete").message)
  end
  if phase == "Rejected" then
    return health("Healthy", "Trained, and held back by the gate: " .. condition("GatePassed").message)
  end
  if phase == "Failed" then
    return health("Degraded", condition("Failed").message)
  end
  if is_stale() then
    return health("Progressing", "Waiting for the operator to see the change.")
  end
  if phase == "Suspended" then
    return health("Suspended", condition("Suspended").message)
  end
  return health("Progressing", phase .. ": " .. condition("Trained").message)
end

local function model_version()
  local phase, wanted = obj.status.phase, obj.spec.desiredState
  local ready = condition("Ready")
  if is_stale() then
    return health("Progressing", "Waiting for the operator to see the change.")
  end
  if phase == "Live" and ready.status == "False" then
    return health("Degraded", ready.message)
  end
  if phase == "Live" and ready.status == "True" then
    return health("Healthy", ready.message)
  end
  if phase == "Archived" then
    return health("Healthy", "Archived.")
  end
  if phase == "Quarantined" or phase == "RolledBack" then
    -- Taken away on request is well; found wanting while it is wanted is not.
    return health(wanted == "Archived" and "Healthy" or "Degraded", phase .. ": " .. ready.message)
  end
  if phase == "Paused" then
    return health("Suspended", condition("CanaryHealthy").message)
  end
  local approved = obj.spec.approval ~= nil and obj.spec.approval.approved
  if phase == "Pending" and wanted == "Candidate" and not approved then
    return health("Suspended", "A candidate; approve or promote it to roll it out.")
  end
  return health("Progressing", phase)
end

local function retrain_policy()
  local ready = condition("Ready")
  if is_stale() then
    return health("Progressing", "Waiting for the control plane to see the change.")
  end
  if condition("Suspended").status == "True" then
    return health("Suspended", condition("Suspended").message)
  end
  if ready.status == "False" then
    return health("Degraded", ready.message)
  end
  -- Unknown: it was decided to train and could not be yet; the message says why, and it is tried again.
  return health(ready.status == "True" and "Healthy" or "Progressing", ready.message)
end

if obj.kind == "RetrainPolicy" then
  if obj.status == nil then
    return health("Progressing", "Waiting for the control plane.")
  end
  return retrain_policy()
end
if obj.status == nil or obj.status.phase == nil then
  return health("Progressing", "Waiting for the operator.")
end
if obj.kind == "ModelVersion" then
  return model_version()
end
return training_job()
