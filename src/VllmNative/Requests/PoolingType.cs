namespace VllmNative.Requests;

/// <summary>How the hidden states of a prompt's tokens become one vector.</summary>
public enum PoolingType
{
    /// <summary>The last token's.</summary>
    Last = 0,

    /// <summary>The mean of all tokens'.</summary>
    Mean,
}
