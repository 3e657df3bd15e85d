namespace VllmNative.Requests;

/// <summary>
/// What the prefix index had of a prompt when another thread looked: nodes in order, with their ids. The index has gone on since; a node
/// that still has its id stands for the same tokens behind the same node.
/// </summary>
/// <param name="Root">Id of the root that the prompt begins at.</param>
/// <param name="Nodes">At least one.</param>
internal sealed record ForeseenPrefix(long Root, (int Node, long Id)[] Nodes);
