namespace VllmNative.Recording;

/// <summary>Something that was asked of the prefix cache itself, at a moment of the recording.</summary>
/// <param name="At">When the engine did it, in seconds since the recording began.</param>
/// <param name="RequestId">The request whose full blocks are pinned, which has ended; null = all that is cached is forgotten, pins too.</param>
/// <param name="TimeToLive">Of a pin, in seconds.</param>
internal readonly record struct CacheOrder(double At, long? RequestId, double TimeToLive);
