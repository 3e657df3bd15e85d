namespace VllmNative.Requests;

/// <summary>When a beam search whose width is full of finished sequences ends; names and meaning are those of transformers.</summary>
public enum EarlyStopping
{
    /// <summary>When the best beam, scored at its present length, would not beat the worst finished sequence: a good guess, not a proof.</summary>
    False = 0,

    /// <summary>At once.</summary>
    True,

    /// <summary>
    /// When no beam can beat the worst finished sequence any more: with a length penalty above 0 the best beam is scored as if it had the greatest length.
    /// </summary>
    Never,
}
