namespace VllmNative.Requests;

/// <summary>Which logits log-probabilities are taken from.</summary>
public enum LogprobsMode
{
    /// <summary>Those that the model gave.</summary>
    Raw = 0,

    /// <summary>Those after allow lists, bans, biases and penalties, before temperature and truncation.</summary>
    Processed,
}
