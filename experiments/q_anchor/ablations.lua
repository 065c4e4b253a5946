-- ablations.lua - what each part of Q-Anchor is worth: the rows of the paper's Tables 3 and 6.
--
-- Without the user's token, the sources' tokens or both; without the margin that spares false negatives (a margin of
-- 2 is above every difference of cosines); without one of the two losses. Prompt tuning with and without pre-training
-- is prompt_tuning.lua.
--   assay compare q_anchor_ablations --suite alipay10 --wide
local setting = require "setting"
local base, losses = setting.model(), setting.losses()

local row = zip {
  model = {
    base,
    setting.model { user_summary = false },
    setting.model { source_summary = false },
    setting.model { user_summary = false, source_summary = false },
    base, base, base,
  },
  loss = {
    losses, losses, losses, losses,
    { setting.contrastive { margin = 2 }, setting.next_token() },
    { setting.contrastive() },
    { setting.next_token() },
  },
}

return experiment {
  name = setting.name "ablations", dataset = setting.users(), model = row.model, adapter = setting.adapters,
  mask = mask.causal {}, loss = row.loss, train = setting.train(), evaluate = { setting.probe() }, seed = setting.seeds,
}
