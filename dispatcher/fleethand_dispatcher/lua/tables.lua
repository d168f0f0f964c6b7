-- What `states.py` says of the statuses. Included by the scripts that change them.
local TRANSITIONS = cjson.decode([[@TRANSITIONS@]])
local TERMINAL = cjson.decode([[@TERMINAL@]])
local PRESUMABLE = cjson.decode([[@PRESUMABLE@]])
local REPLACES_PRESUMED = cjson.decode([[@REPLACES_PRESUMED@]])
local STEPS_MAX = 40
local EVENTS_LIFE_S = 86400 -- after the end; then the rows have to tell the story
